"""What an evaluation took: it is part of what a study costs."""

from collections.abc import Callable
from typing import Any

from joulegrid.errors import InputError
from joulegrid.jobs.run import say
from joulegrid.metering.meter import Meter


def metered(hardware: dict[str, Any], work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What `work()` gives, and its `cost` where there is a meter."""
    found: dict[str, Any] = {}
    try:
        meter = Meter("machine", hardware)
        _, cost = meter.measure(lambda: found.update(work()))
    except InputError as error:  # of the meter: the evaluation is worth its record without it
        say(f"not metered: {error}")
        return found or work()
    return {**found, "cost": meter.cost(cost)}
