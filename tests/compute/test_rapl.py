"""RAPL's counters where they do not simply count on."""

import itertools
from pathlib import Path

import pytest

from joulegrid.errors import InputError
from joulegrid.metering import energy, rapl
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


def test_a_package_that_stands_still_is_no_measurement():
    """0 J would be the best configuration of all; within less than 1 s it may be one reading."""
    with pytest.raises(InputError, match=r"RAPL package-0: its counter stood still for 2\.0 s"):
        joules(INTEL, (0, 200), (1, 200), (2, 200))
    with pytest.raises(InputError, match=r"stood still for 3\.0 s"):
        joules(INTEL, (0, 200), (1, 240), (2, 280), (3, 280), (4, 280), (5, 280))
    assert joules(INTEL, (0, 200), (0.9, 200), (2, 201)) == 1
    assert joules(INTEL, (0, 200), (0.5, 200)) == 0


def test_memory_of_a_socket_without_modules_may_take_nothing():
    equipment = Equipment(1, 1, {"dram-1": Zone("dram", INTEL)})
    stream = [Sample(t, HOST, {"dram-1": 0}) for t in (0.0, 5.0)]
    assert energy.zones_j(equipment, stream) == {"dram-1": 0.0}


# ---------------------------------------------------------------- zones
def two_sockets(root, **others):
    """The zones of two packages with DRAM; `others` says what other values than these they have."""
    values = {"package-0": 100, "dram-0": 7, "package-1": 200, "dram-1": 9}
    folders = {"package-0": "0", "dram-0": "0:0", "package-1": "1", "dram-1": "1:0"}
    given = values | {name.replace("_", "-"): value for name, value in others.items()}
    for name, value in given.items():
        path = root / f"intel-rapl:{folders[name]}"
        path.mkdir()
        (path / "name").write_text("dram" if name.startswith("dram") else name)
        (path / "energy_uj").write_text(f"{value}")
        (path / "max_energy_range_uj").write_text(f"{INTEL}")
    return rapl.find(root)


@pytest.fixture
def counting(monkeypatch):
    """Lets all counters go on with every reading: by `step(readings so far)` µJ."""

    def by(step):
        reads, read = itertools.count(), Path.read_text

        def read_text(path, *arguments, **named):
            text = read(path, *arguments, **named)
            if path.name != "energy_uj" or not text:
                return text
            return f"{int(text) + step(next(reads))}"

        monkeypatch.setattr(Path, "read_text", read_text)

    return by


def test_memory_of_all_sockets_is_read(tmp_path, counting):
    counting(lambda reads: 61 * reads)
    found = two_sockets(tmp_path)
    assert list(found.read()) == ["package-0", "dram-0", "package-1", "dram-1"]
    assert found.beside == {}


def test_memory_that_stands_still_is_estimated(tmp_path):
    found = two_sockets(tmp_path)
    assert set(found.zones) == {"package-0", "package-1"}
    assert found.beside == dict.fromkeys(["dram-0", "dram-1"], "stands still")


def test_half_of_the_memory_is_no_measurement(tmp_path):
    found = two_sockets(tmp_path, dram_1="")  # as unreadable as one without permission
    assert found.read() == {"package-0": 100, "package-1": 200}
    assert found.beside == {"dram-0": "not all memory can be read", "dram-1": "cannot be read"}
    equipment = Equipment(1, 1, found.zones)
    basis = Meter("machine", CPU, Recording(equipment, [Sample(0.0, HOST)])).basis
    assert (basis["cpu"]["basis"], basis["ram"]["basis"]) == ("measured", "estimated")


def test_a_package_that_is_there_twice_counts_once_and_so_does_its_memory(tmp_path, counting):
    """One counter, which goes on while it is read: in all rounds but one the two names differ."""
    counting(lambda reads: 61 * (reads - (reads > 10)))
    found = two_sockets(tmp_path, package_1=100, dram_1=7)
    assert set(found.zones) == {"package-0", "dram-0"}
    assert found.beside == {
        "dram-1": "the memory of a package that is there twice",
        "package-1": "shows the same counter as another package",
    }


def test_two_packages_of_their_own_both_count(tmp_path, counting):
    counting(lambda reads: 61 * reads)
    assert set(two_sockets(tmp_path).of("package")) == {"package-0", "package-1"}


def test_packages_that_stand_still_are_not_one(tmp_path):
    """Both at 0: nothing shows that they are one counter, and half would be an undercount."""
    found = two_sockets(tmp_path, package_0=0, package_1=0)
    assert set(found.of("package")) == {"package-0", "package-1"}


# ---------------------------------------------------------------- containers
MASKED = """overlay / overlay rw,relatime 0 0
sysfs /sys sysfs ro,nosuid,nodev,noexec,relatime 0 0
tmpfs /sys/devices/virtual/powercap tmpfs ro,relatime,inode64 0 0
"""


@pytest.mark.parametrize(("mounts", "said"), [(MASKED, True), (MASKED[:80], False)])
def test_a_container_that_hides_the_counters_is_said(tmp_path, monkeypatch, mounts, said):
    """As docker and containerd mount it: no zone is there, and no error of permission either."""
    (tmp_path / "mounts").write_text(mounts)
    found = rapl.find(tmp_path, tmp_path / "mounts")
    assert found.zones == {}
    assert ("intel-rapl" in found.beside) == said
    monkeypatch.setattr(rapl, "find", lambda: found)
    cpu = Meter("machine", CPU).basis["cpu"]
    text = str(cpu.get("not_added"))
    assert ("hidden by this container" in text) == said
    assert ("systempaths=unconfined" in text) == said


def test_zones_that_are_seen_are_not_called_hidden(tmp_path):
    (tmp_path / "mounts").write_text(MASKED)
    path = tmp_path / "intel-rapl:0"
    path.mkdir()
    for name, text in (("name", "package-0"), ("energy_uj", "1"), ("max_energy_range_uj", "9")):
        (path / name).write_text(text)
    found = rapl.find(tmp_path, tmp_path / "mounts")
    assert (set(found.zones), found.beside) == ({"package-0"}, {})
