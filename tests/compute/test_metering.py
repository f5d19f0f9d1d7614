"""Joules out of counters: real recordings, imitated machines, hostile surroundings."""

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from conftest import ROOT
from helpers.fake_nvml import SilentNvml
from joulegrid.errors import InputError
from joulegrid.metering import (
    disturbance,
    energy,
    estimates,
    floor,
    nvml,
    rapl,
    reference,
    remarks,
    samples,
)
from joulegrid.metering.host import HostCounters
from joulegrid.metering.meter import Meter
from joulegrid.metering.replay import Recording
from joulegrid.metering.samples import Board, Equipment, Gpu, Host, Sample, Zone
from joulegrid.metering.sensors import MachineSensors, Sampler

DATA = ROOT / "tests/data/samples"
CPU = {"device": "cpu"}
GIGA = 10**9


def host(busy=0.0, own=0.0, **others):
    return Host(busy, others.pop("node", busy), own, **others)


def gpus(watts, counters=None, step=0.1, limit=300.0, **facts):
    """Equipment and samples of one board at `step` s."""
    equipment = Equipment(1, 1, gpus={"GPU-a": Board(limit, counters is not None)})
    counters = counters or [None] * len(watts)
    stream = [
        Sample(n * step, host(), gpus={"GPU-a": Gpu(count, watt, **facts)})
        for n, (watt, count) in enumerate(zip(watts, counters, strict=True))
    ]
    return equipment, stream


# ---------------------------------------------------------------- counters
@pytest.mark.parametrize(
    ("readings", "limit", "joules"),
    [
        ([10 * GIGA, 14 * GIGA], 262 * GIGA, 4000),
        # an Intel package that wraps at 2^32·2^-14 J in a run of 134 s at 30.8 W: end minus begin
        # would be −258,019 J (a recording of a client CPU)
        ([259_440_364_258, 262_143_000_000, 1_421_424_258], 2**18 * 10**6 - 1, 4125.06),
        # 140 kJ on an AMD package with a range of 65.5 kJ: two wraps, which both ends do not see
        ([0, 50 * GIGA, 34_467_389_012, 8_934_778_024], 65_532_610_987, 140_000),
    ],
)
def test_a_counter_that_starts_again_is_followed(readings, limit, joules):
    assert energy.counted_uj(readings, limit) / 1e6 == pytest.approx(joules, abs=0.01)


def test_packages_and_memory_of_two_sockets_are_added_by_component():
    zones = {
        "package-0": Zone("package", 10**12),
        "package-1": Zone("package", 10**12),
        "dram-0": Zone("dram", 10**12),
    }
    stream = [
        Sample(0.0, host(), {"package-0": 0, "package-1": 0, "dram-0": 0}),
        Sample(2.0, host(), {"package-0": 200 * 10**6, "package-1": 100 * 10**6, "dram-0": 10**7}),
    ]
    meter = Meter("machine", CPU, Recording(Equipment(2, 4, zones), stream))
    reading = meter.reading(stream, {})
    assert reading.energy_j == {"cpu": 300.0, "gpu": 0.0, "ram": 10.0}
    assert meter.basis["cpu"] == {
        "basis": "measured",
        "method": "RAPL: package-0, package-1; the whole machine, of which this job has a part",
    }
    assert meter.basis["ram"]["basis"] == "measured"


def write_zone(root, folder, name, value=1, limit=2**40):
    path = root / folder
    path.mkdir(parents=True)
    (path / "name").write_text(f"{name}\n")
    (path / "energy_uj").write_text(f"{value}\n")
    (path / "max_energy_range_uj").write_text(f"{limit}\n")
    return path / "energy_uj"


def test_zones_that_hold_others_are_named_and_never_added(tmp_path, monkeypatch):
    monkeypatch.setattr(rapl, "Rapl", Growing)
    monkeypatch.setattr(Growing, "by", 61)
    write_zone(tmp_path, "intel-rapl:0", "package-0", 100)
    write_zone(tmp_path, "intel-rapl:0:0", "core", 40)
    write_zone(tmp_path, "intel-rapl:0:1", "dram", 7)
    write_zone(tmp_path, "intel-rapl:1", "psys", 999)
    found = rapl.find(tmp_path)
    assert set(found.read()) == {"package-0", "dram-0"}
    assert set(found.beside.values()) == {"is a part of its package", "holds the packages"}


def test_half_of_the_packages_is_no_measurement_and_the_grant_is_said(tmp_path, monkeypatch):
    write_zone(tmp_path, "intel-rapl:0", "package-0", 100)
    write_zone(tmp_path, "intel-rapl:1", "package-1", "")  # as unreadable as one without permission
    found = rapl.find(tmp_path)
    assert found.zones == {}
    assert found.denied
    monkeypatch.setattr(rapl, "find", lambda: found)
    basis = Meter("machine", CPU).basis["cpu"]
    assert basis["basis"] != "measured"
    assert "sudo chmod o+r /sys/class/powercap/intel-rapl*/energy_uj" in basis["method"]


def test_process_tracking_is_refused_where_counters_count_everybody():
    stream = [Sample(float(t), host(), {"package-0": t}) for t in range(3)]
    equipment = Equipment(1, 1, {"package-0": Zone("package", 10**12)})
    with pytest.raises(InputError, match=r"protocol\.tracking: 'process'"):
        Meter("process", CPU, Recording(equipment, stream))


class Growing(rapl.Rapl):
    """Counters that grow by some µJ each time they are read."""

    by = 0

    def read(self):
        self.count = getattr(self, "count", 0) + self.by
        return dict.fromkeys(self.files, self.count)


@pytest.mark.parametrize(("watts", "kept"), [(2.0, True), (50_000.0, False)])
def test_memory_that_takes_more_than_memory_can_is_set_aside(tmp_path, monkeypatch, watts, kept):
    """Some DRAM counters have another unit than their driver takes them for."""
    write_zone(tmp_path, "intel-rapl:0", "package-0", 100)
    write_zone(tmp_path, "intel-rapl:0:1", "dram", 7)
    monkeypatch.setattr(rapl, "Rapl", Growing)
    monkeypatch.setattr(Growing, "by", int(watts * 1e6 * rapl.DRAM_LOOK_S))
    found = rapl.find(tmp_path)
    assert ("dram-0" in found.zones) == kept
    assert ("which is implausible" in found.beside.get("dram-0", "")) != kept
    assert "package-0" in found.zones


# ---------------------------------------------------------------- GPUs
def test_a_recorded_a100_gives_what_its_power_integrates_to():
    """NVML's power of a step of load, 14.02 s of it: 1613.0 J, of which an external meter says
    1711.5 J: NVML reads 5.75 % too little on that board.
    """
    recording = Recording.of(DATA / "a100_step.samples.gz")
    stretch = [s for s in recording.samples if 0.4639 <= s.t_s <= 14.4791]
    found = energy.gpu_j("GPU-0", recording.equipment, stretch)
    assert found.method == energy.POWER
    assert found.energy_j == pytest.approx(1613.0, rel=0.005)
    assert found.energy_j / 1711.5 == pytest.approx(0.9425, abs=0.005)


def test_a_sensor_that_is_stuck_is_no_measurement():
    recording = Recording.of(DATA / "frozen_sensor.samples.gz")
    with pytest.raises(InputError, match=r"the same 46\.19 W 300 times"):
        energy.gpu_j("GPU-0", recording.equipment, recording.samples)


@pytest.mark.parametrize(
    ("watts", "counters", "part"),
    [
        ([50.0, 51.0, 52.0], [7000, 7000, 7000], "stood still for 0.2 s"),
        ([50.0, 51.0, 52.0], [7000, 8000, 100], "went backwards: was the driver loaded anew"),
        ([0.0, 0.0, 0.0], None, "says 0 W"),
    ],
)
def test_readings_that_no_working_board_gives_are_errors(watts, counters, part):
    equipment, stream = gpus(watts, counters)
    with pytest.raises(InputError, match=part):
        energy.gpu_j("GPU-a", equipment, stream)


def test_a_gap_is_filled_by_the_counter_and_by_nothing_else():
    equipment, stream = gpus([100.0, 100.0, 100.0], [0, 10_000, 2_400_000])
    stream[2] = replace(stream[2], t_s=24.0)
    found = energy.gpu_j("GPU-a", equipment, stream)
    assert (found.energy_j, found.power_j) == (2400.0, None)
    equipment, stream = gpus([100.0, 100.0, 100.0])
    stream[2] = replace(stream[2], t_s=24.0)
    with pytest.raises(InputError, match=r"not sampled for 23\.9 s"):
        energy.gpu_j("GPU-a", equipment, stream)


def test_of_two_boards_only_the_own_one_counts():
    boards = {"GPU-a": Board(300.0, True)}
    stream = [
        Sample(
            float(t),
            host(),
            gpus={"GPU-a": Gpu(t * 100_000, 100.0), "GPU-theirs": Gpu(t * 250_000, 250.0)},
        )
        for t in range(3)
    ]
    meter = Meter("machine", CPU, Recording(Equipment(1, 1, gpus=boards), stream))
    reading = meter.reading(stream, {})
    assert reading.energy_j["gpu"] == 200.0
    assert list(reading.gpus) == ["GPU-a"]


class FakeNvml(SilentNvml):
    """Two boards; the first one is busy with somebody else's work."""

    NVML_TEMPERATURE_GPU = NVML_CLOCK_SM = 0
    NVML_FI_DEV_POWER_INSTANT = 186

    def __init__(self, mig=0):
        self.mig = mig

    def nvmlDeviceGetHandleByUUID(self, uuid):
        return ["GPU-theirs", "GPU-mine"].index(uuid)

    def nvmlDeviceGetMigMode(self, handle):
        return self.mig, self.mig

    def nvmlDeviceGetIndex(self, handle):
        return handle

    def nvmlDeviceGetPowerUsage(self, handle):
        return [400_000, 60_000][handle]

    def nvmlDeviceGetTotalEnergyConsumption(self, handle):
        return [9_000_000, 1000][handle]

    def nvmlDeviceGetCurrentClocksThrottleReasons(self, handle):
        return 0x4


def test_boards_are_chosen_by_uuid_and_not_by_position(monkeypatch):
    monkeypatch.setattr(nvml, "_library", FakeNvml)
    counters = nvml.NvmlCounters(["GPU-mine"])
    assert counters.indices == [1]
    assert counters.read()["GPU-mine"].power_w == 60.0


def field_of(milliwatts):
    return [SimpleNamespace(nvmlReturn=0, value=SimpleNamespace(uiVal=milliwatts))]


@pytest.mark.parametrize(
    ("instant", "watts", "said"),
    [(None, 60.0, "NVML power (no instant one"), (75_000, 75.0, "NVML instant power")],
)
def test_power_that_is_a_mean_is_not_called_instant(monkeypatch, instant, watts, said):
    """A board without a counter and, with an older driver, without instant power."""

    class Plain(FakeNvml):
        def nvmlDeviceGetTotalEnergyConsumption(self, handle):
            raise RuntimeError("Not Supported")

        def nvmlDeviceGetFieldValues(self, handle, fields):
            if instant is None:
                raise RuntimeError("Not Supported")
            return field_of(instant)

    monkeypatch.setattr(nvml, "_library", Plain)
    counters = nvml.NvmlCounters(["GPU-mine"])
    sample = Sample(0.0, host(), gpus=counters.read())
    assert sample.gpus["GPU-mine"].power_w == watts
    equipment = Equipment(1, 1, gpus=counters.boards)
    method = Meter("machine", CPU, Recording(equipment, [sample])).basis["gpu"]["method"]
    assert method.startswith(said)


def test_processes_are_looked_for_once_a_second_and_for_all_boards_at_once(monkeypatch):
    """A sample is taken each 100 ms."""

    def descendants(pid):
        looked.append(pid)
        return []

    looked, running = [], [SimpleNamespace(pid=1), SimpleNamespace(pid=os.getpid())]
    monkeypatch.setattr(
        FakeNvml, "nvmlDeviceGetComputeRunningProcesses", lambda *_: list(running), raising=False
    )
    monkeypatch.setattr(nvml, "_library", FakeNvml)
    monkeypatch.setattr(nvml.orphans, "descendants", descendants)
    boards = nvml.NvmlCounters(["GPU-theirs", "GPU-mine"])
    found = [boards.read(quick) for quick in (False, True, True)]
    assert looked == [os.getpid()]
    assert [sample["GPU-mine"].others for sample in found] == [1, 1, 1]
    running.append(SimpleNamespace(pid=os.getppid()))
    assert [boards.read(quick)["GPU-mine"].others for quick in (True, False)] == [1, 2]


# Numbers that no process has here: Linux gives none above 4194304
ELSEWHERE = [5_000_001, 5_000_002, 5_000_003]


@pytest.mark.parametrize(
    ("listed", "others", "said"),
    [
        ([os.getpid()], 0, []),
        ([os.getpid(), 1], 1, []),
        (ELSEWHERE[:1], 0, [nvml.UNSEEN]),  # the job itself, as its container's host calls it
        (ELSEWHERE, 2, [nvml.UNSEEN]),
        ([], 0, [nvml.UNSEEN]),
    ],
    ids=["alone", "beside another", "contained", "contained beside others", "nothing is told"],
)
def test_processes_that_a_container_hides_are_said_to_be_hidden(monkeypatch, listed, others, said):
    monkeypatch.setattr(
        FakeNvml,
        "nvmlDeviceGetComputeRunningProcesses",
        lambda *_: [SimpleNamespace(pid=pid) for pid in listed],
        raising=False,
    )
    monkeypatch.setattr(nvml, "_library", FakeNvml)
    monkeypatch.setattr(nvml.orphans, "descendants", lambda _: [])
    boards = nvml.NvmlCounters(["GPU-mine"])
    assert boards.read()["GPU-mine"].others == others
    assert boards.warnings == said


def test_a_board_that_does_not_tell_why_it_is_slow_is_not_called_undisturbed(monkeypatch):
    def unsupported(*_):
        raise RuntimeError("Not Supported")

    monkeypatch.setattr(FakeNvml, "nvmlDeviceGetCurrentClocksThrottleReasons", unsupported)
    monkeypatch.setattr(nvml, "_library", FakeNvml)
    boards = nvml.NvmlCounters(["GPU-mine"])
    assert boards.read()["GPU-mine"].reasons is None
    assert boards.warnings[-1].startswith("GPU GPU-mine does not tell why its clocks are low")


def test_a_part_of_a_board_is_refused(monkeypatch):
    monkeypatch.setattr(nvml, "_library", lambda: FakeNvml(mig=1))
    with pytest.raises(InputError, match="GPU-mine: of a board that is divided by MIG"):
        nvml.NvmlCounters(["GPU-mine"])


def test_a_machine_without_nvml_says_so():
    with pytest.raises(InputError, match="NVML cannot be read"):
        nvml.NvmlCounters(["GPU-mine"])


def test_without_gpus_there_is_no_reference_work_on_them():
    import torch

    assert reference.gpu_reference_seconds() == [] or torch.cuda.is_available()


TORCH = """
import os, time
if "FAILS" in os.environ:
    raise RuntimeError("CUDA error: out of memory")
float16 = 0
class Generator:
    def __init__(self, device): self.device = device
    def manual_seed(self, seed): return self
def randn(shape, generator, device, dtype): return device
def matmul(one, other): time.sleep(0.001 if one == "cuda:0" else 0.01)
class cuda:
    def device_count(): return 2
    def synchronize(device): pass
"""


def test_reference_work_leaves_nothing_on_the_boards(monkeypatch, tmp_path, capsys):
    """268 MB of matrices and what CUDA sets up: an engine in processes of its own would find less
    room, and its peak would be too high.
    """
    (tmp_path / "torch.py").write_text(TORCH)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    used = "torch" in sys.modules and sys.modules["torch"].cuda.is_initialized()
    first, second = reference.gpu_reference_seconds()
    assert 0.02 <= first < second
    assert ("torch" in sys.modules and sys.modules["torch"].cuda.is_initialized()) == used
    monkeypatch.setenv("FAILS", "1")
    assert reference.gpu_reference_seconds() == []
    said = "no reference work on GPUs: RuntimeError: CUDA error: out of memory\n"
    assert capsys.readouterr().out == said


def test_a_gpu_cell_without_gpus_is_an_error():
    with pytest.raises(InputError, match="NVML shows this job none"):
        Meter("machine", {"device": "cuda"})


def test_a_cell_on_a_part_of_a_gpu_is_told_why(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "MIG-7f0ee3c3")
    with pytest.raises(
        InputError, match=r"a part of a GPU, MIG-7f0ee3c3: .* use a board with MIG off"
    ):
        Meter("machine", {"device": "cuda"})


def test_a_driver_that_is_loaded_anew_ends_the_session_with_its_reason(monkeypatch):
    """The board answers no more in the middle of a window: no half of a reading is taken."""

    class Reloaded(FakeNvml):
        def nvmlDeviceGetTotalEnergyConsumption(self, handle):
            if reads:
                raise RuntimeError("GPU is lost")
            reads.append(handle)
            return 1000

    reads = []
    monkeypatch.setattr(nvml, "_library", Reloaded)
    boards = nvml.NvmlCounters(["GPU-mine"])
    with pytest.raises(InputError, match=r"answers no more \(driver reloaded\?\): GPU is lost"):
        boards.read()


def test_a_board_without_a_counter_that_is_lost_is_said_to_be_lost(monkeypatch):
    """Else its power would be missing, and the reason a gap between samples."""

    class Lost(RuntimeError):
        value = 15

    class Reloaded(FakeNvml):
        def nvmlDeviceGetTotalEnergyConsumption(self, handle):
            raise Lost("GPU is lost") if is_lost else RuntimeError("Not Supported")

        def nvmlDeviceGetPowerUsage(self, handle):
            if is_lost:
                raise Lost("GPU is lost")
            return 60_000

    is_lost = False
    monkeypatch.setattr(nvml, "_library", Reloaded)
    boards = nvml.NvmlCounters(["GPU-mine"])
    assert boards.read()["GPU-mine"].power_w == 60
    is_lost = True
    with pytest.raises(InputError, match=r"answers no more \(driver reloaded\?\): GPU is lost"):
        boards.read()
    with pytest.raises(InputError, match="answers no more"):
        nvml.NvmlCounters(["GPU-mine"])


@pytest.mark.parametrize(
    "error", [InputError("the GPU answers no more"), psutil.AccessDenied(1), ValueError("?")]
)
def test_an_error_while_sampling_ends_the_window(error):
    """Whatever it is: a window would pass for one that was sampled."""

    class Lost(MachineSensors):
        def read(self, quick=False):
            if threading.current_thread() is not threading.main_thread():
                raise error
            return super().read(quick)

    with pytest.raises(type(error)) as raised, Sampler(Lost([])) as sampler:
        sampler._thread.join()
    assert raised.value is error


@pytest.mark.parametrize("hours", [-1, 1])
def test_a_clock_that_is_set_changes_no_reading(monkeypatch, hours):
    """NTP and suspended machines: only monotonic clocks are read."""
    meter = Meter("machine", {**CPU, "cpu_power_w": 10, "ram_power_w": 5})
    real, is_set = time.time, threading.Event()
    monkeypatch.setattr(time, "time", lambda: real() + 3600 * hours * is_set.is_set())

    def work():
        time.sleep(0.25)
        is_set.set()
        time.sleep(0.25)

    _, reading = meter.measure(work)
    assert 0.5 <= reading.seconds < 60
    assert reading.energy_j["ram"] == pytest.approx(5 * reading.seconds)
    # its stretch is longer by what it takes to begin and to end one, and by no hour
    assert 0 < reading.codecarbon_j["ram"] < 5 * 60


# ---------------------------------------------------------------- disturbance
def of_host(last, seconds=10.0, cpus=2, node=2):
    stream = [Sample(0.0, host(memory_stall_s=0.0, throttles=0)), Sample(seconds, last)]
    return disturbance.disturbances(Equipment(cpus, node), stream, {})


@pytest.mark.parametrize(
    ("last", "part"),
    [
        (host(20.0, 19.9, memory_stall_s=0.0, throttles=0), None),
        (host(20.0, 18.0, memory_stall_s=0.0, throttles=0), "other processes used 10% of the CPUs"),
        (host(10.0, 10.0, steal_s=1.0), "hypervisor took 5% of the CPUs"),
        (host(10.0, 10.0, throttled_s=2.0), "cgroup held the job back 20% of the time"),
        (host(10.0, 10.0, memory_stall_s=0.5), "waited for memory 5% of the time"),
        (host(10.0, 10.0, throttles=3), "slowed down by heat"),
    ],
)
def test_what_disturbs_a_cpu(last, part):
    found = of_host(last)
    assert (found == []) if part is None else (len(found) == 1 and part in found[0])


def test_other_jobs_of_a_node_disturb_what_counts_the_whole_node():
    """8 of 16 CPUs are this job's; on the others somebody computes."""
    stream = [Sample(0.0, host()), Sample(10.0, host(80.0, 80.0, node=120.0))]
    assert disturbance.disturbances(Equipment(8, 16), stream, {}) == []
    assert disturbance.neighbours_share(Equipment(8, 16), stream) == 0.5
    zones = {"package-0": Zone("package", 10**12)}
    found = disturbance.disturbances(Equipment(8, 16, zones), stream, {})
    assert found == ["the machine's other CPUs were 50.0% busy, and RAPL counts their energy too"]


@pytest.mark.parametrize(
    ("cpus", "busy", "said"), [(2, 1.5, True), (2, 0.3, False), (120, 1.5, False)]
)
def test_what_neighbours_take_is_measured_by_what_is_counted(cpus, busy, said):
    """1.5 CPUs of others are nothing beside 120, and much beside 2, though of the 126 idle ones
    they are 1 %; 0.3 are what a system of this size does by itself, and less than its idle power.
    """
    own = 10.0 * cpus
    stream = [
        Sample(0.0, host(), {"package-0": 0}),
        Sample(10.0, host(own, own, node=own + 10 * busy), {"package-0": 10**9}),
    ]
    equipment = Equipment(cpus, 128, {"package-0": Zone("package", 10**12)})
    found = disturbance.disturbances(equipment, stream, {})
    assert any("RAPL counts their energy too" in text for text in found) == said


def disturbed_gpu(watts, counters, **facts):
    equipment, stream = gpus(watts, counters, step=1.0, **facts)
    readings = {"GPU-a": energy.gpu_j("GPU-a", equipment, stream)}
    return [
        *disturbance.wrong_readings(equipment, stream, readings),
        *disturbance.disturbances(equipment, stream, readings),
    ]


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (([200.0] * 3, [0, 200_000, 400_000]), None),
        # capping at the power limit is how a loaded board works
        (([200.0] * 3, [0, 200_000, 400_000], {"reasons": 0x4}), None),
        (([200.0] * 3, [0, 200_000, 400_000], {"reasons": 0x40}), "hardware thermal slowdown"),
        (([200.0] * 3, [0, 200_000, 400_000], {"others": 1}), "other processes computed on it"),
        (
            ([380.0] * 3, [0, 380_000, 760_000]),
            "a wrong reading: GPU GPU-a: 380 W on average, its limit is 300 W",
        ),
    ],
)
def test_what_disturbs_a_gpu(arguments, part):
    watts, counters, *facts = arguments
    found = disturbed_gpu(watts, counters, **(facts[0] if facts else {}))
    assert (found == []) if part is None else (len(found) == 1 and part in found[0])


@pytest.mark.parametrize(("windows", "wrong"), [(1, False), (10, True)])
def test_a_short_stretch_may_miss_what_the_counter_says_late(windows, wrong):
    """280 W by power, and a counter that says a fifth more, which is above the limit of 300 W too:
    the 0.1 s at both ends explain it of a stretch of 1 s, and not of one of 10 s.
    """
    steps = 10 * windows
    ends = [0, *(28_000 * n + 28_000 * windows for n in range(1, steps)), 28_000 * 12 * windows]
    equipment, stream = gpus([280.0] * (steps + 1), ends)
    readings = {"GPU-a": energy.gpu_j("GPU-a", equipment, stream)}
    assert bool(disturbance.wrong_readings(equipment, stream, readings)) == wrong


def test_counter_and_power_that_disagree_are_said():
    """187 J by the counter, 327 J by power over 5 s: what users of zeus saw on an idle board."""
    equipment, stream = gpus([65.4] * 51, [n * 3740 for n in range(51)])
    readings = {"GPU-a": energy.gpu_j("GPU-a", equipment, stream)}
    found = disturbance.wrong_readings(equipment, stream, readings)
    text = "a wrong reading: GPU GPU-a: integrated power differs from the counter by +75%"
    assert found == [text]
    meter = Meter("machine", CPU, Recording(equipment, stream))
    facts = meter.reading(stream, {}).facts()
    assert facts["disturbed"] == facts["wrong"] == [text]


def test_a_mean_power_that_is_late_is_no_wrong_reading():
    """60 W, and 300 W in the last second of ten, 840 J: a mean over a second climbs to that, which
    gives 720 J.
    """
    late = range(1, 11)
    watts = [60.0] * 91 + [60.0 + 24 * n for n in late]
    counters = [6_000 * n for n in range(91)] + [540_000 + 30_000 * n for n in late]
    equipment, stream = gpus(watts, counters)
    readings = {"GPU-a": energy.gpu_j("GPU-a", equipment, stream)}
    assert len(disturbance.wrong_readings(equipment, stream, readings)) == 1
    mean = {"GPU-a": replace(equipment.gpus["GPU-a"], is_instant=False)}
    assert disturbance.wrong_readings(replace(equipment, gpus=mean), stream, readings) == []


def test_what_making_weights_took_is_kept_with_what_disturbed_it():
    """It is not measured again, and enters the balance of the weights."""
    equipment, stream = gpus([380.0] * 3, [0, 380_000, 760_000], step=1.0, others=1)
    meter = Meter("machine", CPU, Recording(equipment, stream))
    reading = meter.reading(stream, {})
    cost = meter.cost(reading)
    assert cost["disturbed"] == reading.facts()["disturbed"]
    assert cost["wrong"] == reading.wrong
    quiet = meter.cost(replace(reading, disturbances=[], wrong=[]))
    assert set(quiet) == {"seconds", "energy_j", "basis"}


def test_what_disturbs_is_told_from_what_cannot_be_right():
    equipment, stream = gpus([380.0] * 3, [0, 380_000, 760_000], step=1.0, others=1)
    facts = Meter("machine", CPU, Recording(equipment, stream)).reading(stream, {}).facts()
    assert facts["wrong"] == ["a wrong reading: GPU GPU-a: 380 W on average, its limit is 300 W"]
    assert facts["disturbed"] == [
        *facts["wrong"],
        "GPU GPU-a: other processes computed on it",
    ]


def used_s(pid):
    """CPU time of a process."""
    ticks = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    return sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK")


@pytest.mark.alone
def test_a_busy_loop_beside_the_work_is_seen():
    """Of what it computes at least half, however seldom it comes to that."""
    meter = Meter("machine", CPU)
    # a shell that ends leaves it behind: it is no child of this process any more
    loop = f"{sys.executable} -c 'while True: pass' > /dev/null 2>&1 & echo $!"
    done = subprocess.run(["sh", "-c", loop], stdout=subprocess.PIPE, text=True, check=True)
    pid = int(done.stdout)

    def until_it_has_computed():
        due_s = used_s(pid) + 1
        while used_s(pid) < due_s:
            time.sleep(0.05)

    try:
        _, reading = meter.measure(until_it_has_computed)
    finally:
        os.kill(pid, 9)
    assert reading.foreign * len(HostCounters().cpus) * reading.seconds > 0.5
    assert any("other processes used" in text for text in reading.disturbances)


@pytest.mark.alone
def test_own_work_in_threads_and_children_is_not_foreign():
    counters = HostCounters()
    before = counters.read()
    code = "import time\nwhile time.process_time() < 1: pass"
    worker = threading.Thread(target=subprocess.run, args=([sys.executable, "-c", code],))
    worker.start()
    worker.join()
    assert counters.read().own_s - before.own_s > 0.5


# ---------------------------------------------------------------- estimates
EPYC_7763 = {
    "model name": "AMD EPYC 7763 64-Core Processor",
    "vendor_id": "AuthenticAMD",
    "cpu family": "25",
    "model": "1",
    "stepping": "1",
}


def with_cpu(monkeypatch, facts, sockets=1):
    monkeypatch.setattr(estimates, "cpu_facts", lambda: {**facts, "sockets": sockets})
    monkeypatch.setattr(estimates, "cpu_quota", lambda: None)


def test_a_server_cpu_takes_what_specpower_says(monkeypatch):
    """An EPYC 7763 with 128 threads: 58 W idle and 251 W full (mean of 28 results)."""
    with_cpu(monkeypatch, EPYC_7763)
    power = estimates.cpu_power(CPU, 128, 128)
    assert (power.idle_w, power.full_w) == pytest.approx((58.3, 250.5), rel=0.005)
    assert power.holds_memory
    assert estimates.cpu_power(CPU, 2, 128).full_w == pytest.approx(3.91, rel=0.005)
    assert power.energy_j(0.5, 10) == pytest.approx((58.3 + 250.5) / 2 * 10, rel=0.005)


def test_a_known_cpu_that_is_no_server_takes_a_share_of_its_design_power(monkeypatch):
    with_cpu(monkeypatch, {"model name": "12th Gen Intel(R) Core(TM) i7-12700H"})
    power = estimates.cpu_power(CPU, 10, 20)
    assert power.full_w == pytest.approx(1.02 * 45 / 2)
    assert power.basis == "estimated"
    assert not power.holds_memory


def test_design_power_of_a_virtual_machines_host_is_not_its_own(monkeypatch):
    """8 virtual CPUs that show themselves as 8 sockets would take 938 W."""
    facts = {"model name": "Intel(R) Xeon(R) CPU E5-2670 v2 @ 2.50GHz", "flags": "fpu hypervisor"}
    with_cpu(monkeypatch, facts, sockets=8)
    power = estimates.cpu_power(CPU, 8, 8)
    assert (power.basis, power.full_w) == ("guess", 32)
    assert "no table knows this CPU of a virtual machine" in power.method


def test_an_unknown_cpu_is_a_guess_and_called_one(monkeypatch):
    with_cpu(monkeypatch, {"model name": "Martian"})
    power = estimates.cpu_power(CPU, 2, 2)
    assert power.basis == "guess"
    assert "no table knows this CPU" in power.method


def test_the_studys_own_wattage_wins(monkeypatch):
    with_cpu(monkeypatch, EPYC_7763)
    assert estimates.cpu_power({"cpu_power_w": 40.0}, 128, 128).full_w == 40
    assert estimates.ram_power({"ram_power_w": 7.0}, 1.0).full_w == 7


@pytest.mark.parametrize(("modules", "watts"), [(1, 10), (4, 20), (8, 38), (16, 70), (32, 126)])
def test_memory_modules_take_what_codecarbon_says(modules, watts):
    """16 modules are seven times the 10 W of a small memory: Dosquet's correction."""
    assert estimates.modules_w(modules) == watts


# ---------------------------------------------------------------- CodeCarbon
HOSTILE = """
import json, os, socket, sys
from joulegrid.metering.tracker import Tracker
asked = []
socket.socket.connect = lambda self, address: asked.append(str(address))
tracker = Tracker("machine", [], 5.0, 7.0)
tracker.start()
found = tracker.stop()
inner = tracker._tracker
counting = Tracker("machine", [], None, 7.0)
print(json.dumps({
    "files": inner._external_conf,
    "gpu_ids": inner._gpu_ids,
    "seconds": inner._measure_power_secs,
    "project": inner._project_name,
    "cpu": inner._force_cpu_power,
    "cpu with a counter": counting._tracker._force_cpu_power,
    "ram": inner._ram_power.W,
    "factors": [inner._pue, inner._wue, inner._force_carbon_intensity_g_co2e_kwh],
    "outputs": inner._output_methods,
    "machine's CPUs": inner._conf["cpu_count"] == os.cpu_count(),
    "connections": asked,
    "telemetry": [name for name in sys.modules if "codecarbon" in name and "telemetry" in name],
}))
"""


def test_codecarbon_sees_neither_settings_nor_slurm(tmp_path):
    """A job's number without scontrol would end it in FileNotFoundError, settings of a file win
    over what no argument says, an output folder that is not there ends it. It connects to nobody:
    CodeCarbon 3.3.2 has a client for telemetry that no tracker uses, and no setting for it.
    """
    settings = (
        "[codecarbon]\ngpu_ids=3\nmeasure_power_secs=99\npue=2\nsave_to_file=true\n"
        "force_ram_power=500\nforce_cpu_power=800\nforce_carbon_intensity_g_co2e_kwh=1\n"
    )
    home, here = tmp_path / "home", tmp_path / "here"
    for folder, name in ((home, "of home"), (here, "of the folder")):
        folder.mkdir()
        text = f"{settings}project_name={name}\noutput_dir={tmp_path}/gone\n"
        (folder / ".codecarbon.config").write_text(text)
    hostile = {
        "HOME": str(home),
        "PYTHONPATH": str(ROOT / "scripts"),
        "SLURM_JOB_ID": "7",
        "SLURM_JOBID": "7",
        "CUDA_VISIBLE_DEVICES": "GPU-ab",
        "CODECARBON_GPU_IDS": "2",
        "CODECARBON_FORCE_CPU_POWER": "900",
        "CODECARBON_PROJECT_NAME": "of the environment",
        "CODECARBON_PUE": "3",
        "CODECARBON_WUE": "2",
    }
    done = subprocess.run(
        [sys.executable, "-c", HOSTILE],
        cwd=here,
        env={**os.environ, **hostile},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == {
        "files": {},
        "gpu_ids": [],
        "seconds": 1,
        "project": "codecarbon",
        "cpu": 5.0,
        "cpu with a counter": None,
        "ram": 7.0,
        "factors": [1.0, 0.0, None],
        "outputs": [],
        "machine's CPUs": True,
        "connections": [],
        "telemetry": [],
    }
    assert not list(tmp_path.rglob("emissions*"))


@pytest.mark.parametrize(
    ("zones", "told"), [({"package-0": Zone("package", 10**12)}, False), ({}, True)]
)
def test_codecarbon_reads_the_counter_itself_where_there_is_one(zones, told):
    """Told a wattage it never looks for RAPL, and its figure is our own model's."""
    stream = [Sample(0.0, host(), dict.fromkeys(zones, 0))]
    meter = Meter("machine", {**CPU, "cpu_power_w": 40}, Recording(Equipment(1, 1, zones), stream))
    assert (meter._tracker._tracker._force_cpu_power is not None) == told


def test_a_figure_that_we_gave_codecarbon_is_not_held_against_the_counter():
    """Of memory CodeCarbon knows our wattage only; of packages it reads RAPL as we do."""
    zones = {"package-0": Zone("package", 10**12), "dram-0": Zone("dram", 10**12)}
    recording = Recording(Equipment(1, 1, zones), [Sample(0.0, host(), dict.fromkeys(zones, 0))])
    ours, theirs = {"cpu": 100.0, "gpu": 0.0, "ram": 10.0}, {"cpu": 50.0, "gpu": 0.0, "ram": 1.0}
    said = remarks.deviations(
        Meter("machine", CPU, recording), [{"energy_j": ours, "codecarbon_j": theirs}]
    )
    assert said == ["CodeCarbon says 50 J of the cpu, its counter 100 J"]


def test_a_lock_that_a_killed_job_left_stops_nothing(tmp_path, monkeypatch):
    lock = Path(tempfile.gettempdir()) / ".codecarbon.lock"
    there = lock.exists()
    lock.touch()
    try:
        meter = Meter("machine", CPU)
        _, reading = meter.measure(lambda: time.sleep(0.1))
    finally:
        if not there:
            lock.unlink(missing_ok=True)
    assert reading.codecarbon_j["cpu"] > 0


def test_codecarbons_warnings_are_kept():
    """Once each, of those that concern the study: that several trackers may run does not."""
    meter = Meter("machine", CPU)
    said = list(meter.warnings)
    for _ in range(3):
        meter._tracker.start()  # a stretch within a stretch
    meter._tracker.stop()
    assert meter.warnings == [*said, "A task is already under measure"]
    assert not any("Multiple instances" in text for text in meter.warnings)


# ---------------------------------------------------------------- streams
def test_a_stream_that_is_written_is_read_again_and_gives_the_same(tmp_path):
    sensors = MachineSensors([])
    with Sampler(sensors) as sampler:
        sum(range(3_000_000))
    path = tmp_path / "x.samples.gz"
    samples.write(path, sensors.equipment, sampler.samples)
    assert samples.read(path) == (sensors.equipment, sampler.samples)
    again = Meter("machine", CPU, Recording.of(path))
    first = Meter("machine", CPU, sensors).reading(sampler.samples, {})
    assert again.reading(sampler.samples, {}) == first


def test_a_log_that_is_cut_off_ends_with_its_last_whole_sample(tmp_path):
    equipment, stream = gpus([50.0, 51.0, 52.0])
    path = tmp_path / "x.samples"
    samples.write(path, equipment, stream)
    path.write_text(path.read_text()[:-20])
    assert samples.read(path) == (equipment, stream[:2])


def test_a_compressed_log_that_is_cut_off_gives_what_can_be_read(tmp_path):
    """As one that was copied from a full disk, or while it was written."""
    equipment, stream = gpus([50.0 + n % 7 for n in range(3000)])
    path = tmp_path / "x.samples.gz"
    samples.write(path, equipment, stream)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    found, part = samples.read(path)
    assert found == equipment
    assert 0 < len(part) < 3000
    assert part == stream[: len(part)]
    path.write_bytes(whole[:4] + b"xx" + whole[:40])
    with pytest.raises(InputError, match=r"x\.samples\.gz: not a stream of samples"):
        samples.read(path)


def test_samples_that_cannot_be_written_leave_those_before(tmp_path, monkeypatch):
    equipment, stream = gpus([50.0, 51.0])
    path = tmp_path / "x.samples.gz"
    samples.write(path, equipment, stream)

    def fails(*_, **__):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(samples.json, "dumps", fails)
        with pytest.raises(OSError, match="No space"):
            samples.write(path, equipment, stream[:1])
    assert samples.read(path) == (equipment, stream)
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("", "not a stream of samples"),
        ('{"format": "other"}\n', "not a stream of samples"),
        ("nonsense\n{}\n", "x.samples:1: not a line of JSON"),
    ],
)
def test_files_that_are_no_streams_are_named(tmp_path, text, part):
    (tmp_path / "x.samples").write_text(text)
    with pytest.raises(InputError, match=part):
        samples.read(tmp_path / "x.samples")


# ---------------------------------------------------------------- floor
H100 = {"name": "NVIDIA H100 80GB HBM3", "memory_bytes": 80 * 2**30}


def test_no_reading_is_below_reading_the_weights_once_per_token():
    """Llama 3.1 8B in bf16 on an H100 at batch 8: 16 GB at 3.35 TB/s is 4.8 ms for 8 tokens; the
    ML.ENERGY leaderboard's 0.455 J/token at 486 W and 1070 tokens/s is above.
    """
    step = floor.step_seconds(16 * GIGA, [H100])
    assert step == pytest.approx(0.8 * 16 / 3350)
    window = {"runs": 1, "seconds": 100 * 8 / 1070, "energy_j": {"gpu": 0.455 * 800}}
    assert floor.below(window, 100, step, 700) is None
    assert "a wrong reading: 0.20 s" in floor.below({**window, "seconds": 0.2}, 100, step, 700)
    low = {**window, "energy_j": {"gpu": 1.0}}
    assert "a wrong reading: 1.0 J" in floor.below(low, 100, step, 700)


def test_boards_that_are_not_in_the_table_have_no_floor():
    assert floor.step_seconds(GIGA, [{"name": "NVIDIA X1", "memory_bytes": GIGA}]) is None
