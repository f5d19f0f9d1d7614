"""RAPL's counters where they do not simply count on."""

import pytest

from joulegrid.errors import InputError
from joulegrid.metering import energy
from joulegrid.metering.meter import Meter
from joulegrid.metering.replay import Recording
from joulegrid.metering.samples import Equipment, Host, Sample, Zone

CPU = {"device": "cpu"}
INTEL, AMD = 262_143_328_850, 65_532_610_987
HOST = Host(0.0, 0.0, 0.0)


def stream(limit, *readings):
    """Equipment and samples of one package, of (s, J) pairs."""
    equipment = Equipment(1, 1, {"package-0": Zone("package", limit)})
    return equipment, [Sample(t, HOST, {"package-0": int(j * 1e6)}) for t, j in readings]


def joules(limit, *readings):
    return energy.zones_j(*stream(limit, *readings))["package-0"]


# ---------------------------------------------------------------- resets and gaps
@pytest.mark.parametrize("limit", [INTEL, AMD])
def test_a_wrap_at_a_power_that_a_package_can_take_is_counted(limit):
    """400 W for 2 s over the end of the range."""
    top = limit / 1e6
    assert joules(limit, (0, top - 600), (1, top - 200), (2, 200)) == pytest.approx(800, abs=0.01)


@pytest.mark.parametrize(
    ("limit", "readings"),
    [
        # by a wrap 62,148 J in 1 s
        (INTEL, [(0, 200_000), (1, 5)]),
        (AMD, [(0, 30_000), (1, 30_300), (2, 12)]),
        # a machine that was suspended starts again near zero
        (INTEL, [(0, 50), (1, 0.5)]),
        # forwards: another counter than before
        (INTEL, [(0, 100), (1, 90_000)]),
    ],
)
def test_a_counter_that_was_reset_is_no_measurement(limit, readings):
    with pytest.raises(InputError, match=r"RAPL package-0: its counter went from .* was it reset"):
        joules(limit, *readings)


def test_a_meter_gives_no_reading_of_a_window_with_a_reset():
    equipment, samples = stream(INTEL, (0, 200_000), (1, 200_100), (2, 5))
    meter = Meter("machine", CPU, Recording(equipment, samples))
    with pytest.raises(InputError, match="went from 200100 J to 5 J in 1 s"):
        meter.reading(samples, {})


def test_a_gap_that_may_hide_wraps_is_no_measurement():
    """AMD's packages start again after 65.5 kJ: 164 s at 400 W."""
    with pytest.raises(InputError, match=r"not read for 330 s.*started again more than once"):
        joules(AMD, (0, 0), (330, 933))
    assert joules(AMD, (0, 0), (50, 20_000)) == 20_000
    assert joules(INTEL, (0, 0), (100, 40_000)) == 40_000


def test_two_readings_close_together_may_hold_what_was_counted_before():
    """A counter is refreshed each 1 ms, and a reader may be held up between clock and counter."""
    assert joules(INTEL, (0, 100.0), (0.0001, 100.4), (0.0002, 200.0)) == pytest.approx(100)
