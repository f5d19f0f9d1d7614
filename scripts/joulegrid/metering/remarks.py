"""What is to be said of a session beside its numbers."""

from collections.abc import Sequence
from typing import Any

from joulegrid.metering.meter import MEASURED, Meter
from joulegrid.metering.windows import Window

# CodeCarbon and a counter, or idle power at two times, that differ by more than this: said
DEVIATION = 0.1
# What CodeCarbon reads a counter of; of memory it takes our wattage, which is no second opinion
READ = ("cpu", "gpu")


def idle_drift(idle: dict[str, dict[str, Any] | None]) -> list[str]:
    """What is to be said of idle power that is another one at the end than after loading."""
    first, last = idle["loaded"], idle["end"]
    if first is None or last is None:
        return []
    loaded, end = sum(first["power_w"].values()), sum(last["power_w"].values())
    if abs(end - loaded) <= DEVIATION * loaded:
        return []
    return [f"idle power drifted from {loaded:.3g} W to {end:.3g} W during the session"]


def deviations(meter: Meter, windows: Sequence[Window]) -> list[str]:
    """What is to be said of counters from which CodeCarbon's figure deviates."""
    said = []
    windows = [window for window in windows if window["codecarbon_j"] is not None]
    for name in READ if windows else ():
        ours = sum(window["energy_j"][name] for window in windows)
        theirs = sum(window["codecarbon_j"][name] for window in windows)
        if meter.basis[name]["basis"] == MEASURED and abs(theirs - ours) > DEVIATION * ours:
            said.append(f"CodeCarbon says {theirs:.4g} J of the {name}, its counter {ours:.4g} J")
    return said
