"""Power sensors that are stuck, told from boards that take the same power for a while."""

from types import SimpleNamespace

import pytest

from helpers.fake_nvml import SilentNvml
from joulegrid.errors import InputError
from joulegrid.metering import energy, nvml
from joulegrid.metering.samples import Board, Equipment, Gpu, Host, Sample

EQUIPMENT = Equipment(1, 1, gpus={"GPU-a": Board(300.0, False)})


def joules(watts, busy, step=0.1):
    """Energy of a board without a counter."""
    pairs = zip(watts, busy, strict=True)
    stream = [
        Sample(n * step, Host(0, 0, 0), gpus={"GPU-a": Gpu(None, watt, busy=share)})
        for n, (watt, share) in enumerate(pairs)
    ]
    return energy.gpu_j("GPU-a", EQUIPMENT, stream).energy_j


def test_a_sensor_that_is_stuck_during_a_short_window_of_work_is_seen():
    """99 readings of 46.19 W, as a stuck sensor was recorded: 453 J of no measurement."""
    with pytest.raises(InputError, match=r"the same 46\.19 W 99 times, over 9\.8 s: its sensor"):
        joules([46.19] * 99, [1.0] * 99)


def test_a_sensor_that_sticks_in_the_middle_of_a_window_is_seen():
    watts = [200.0 + n % 7 for n in range(50)] + [180.0] * 60
    with pytest.raises(InputError, match=r"the same 180\.0 W 60 times"):
        joules(watts, [0.9] * 110)


@pytest.mark.parametrize(
    ("seconds", "busy"),
    [
        (9.8, 0.0),  # an L40S with a loaded model and nothing to do: 9.9 s of 114.261 W
        (9.8, None),  # a board that does not say whether it works
        (2.9, 1.0),  # a laptop's board at a fixed clock and full utilization: 2.87 s of 27.56 W
    ],
)
def test_a_board_may_take_the_same_for_a_while(seconds, busy):
    count = round(seconds / 0.1) + 1
    assert joules([114.3] * count, [busy] * count) == pytest.approx(114.3 * seconds)


def test_a_board_that_waits_for_the_cpu_between_is_not_at_work():
    """A model is loaded: the GPU is used now and then."""
    assert joules([117.2] * 69, [1.0 if n % 20 == 0 else 0.0 for n in range(69)]) > 0


class Nvml(SilentNvml):
    """One board, whose utilization can be asked for."""

    NVML_TEMPERATURE_GPU = NVML_CLOCK_SM = 0
    NVML_FI_DEV_POWER_INSTANT = 186

    def __init__(self, counter):
        self.counter = counter

    def nvmlDeviceGetHandleByUUID(self, uuid):
        return 0

    def nvmlDeviceGetIndex(self, handle):
        return 0

    def nvmlDeviceGetPowerUsage(self, handle):
        return 60_000

    def nvmlDeviceGetTotalEnergyConsumption(self, handle):
        if self.counter is None:
            raise RuntimeError("Not Supported")
        return self.counter

    def nvmlDeviceGetUtilizationRates(self, handle):
        return SimpleNamespace(gpu=73)


@pytest.mark.parametrize(("counter", "busy"), [(None, 0.73), (1000, None)])
def test_utilization_is_read_of_boards_that_count_no_energy(monkeypatch, counter, busy):
    monkeypatch.setattr(nvml, "_library", lambda: Nvml(counter))
    assert nvml.NvmlCounters(["GPU-a"]).read()["GPU-a"].busy == busy
