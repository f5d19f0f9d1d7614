"""What work took that is done once: its result is worth having without that too."""

import time
from collections.abc import Callable
from typing import Any, TypeVar

from joulegrid.errors import InputError
from joulegrid.jobs.run import say
from joulegrid.metering.meter import Meter

Result = TypeVar("Result")


def metered(hardware: dict[str, Any], work: Callable[[], Result]) -> tuple[Result, dict[str, Any]]:
    """What `work()` gives, and its cost as `Meter.cost` says it. Where there is no meter, or it
    fails meanwhile, the cost has no energy and no `basis`, and says why as of a wrong reading.

    Raises
    ------
    Exception
        as `work` does.
    """
    began = time.monotonic()
    try:
        meter = Meter("machine", hardware)
    except InputError as error:
        return work(), unmetered(error, began)
    done: list[Result] = []
    try:
        _, reading = meter.measure(lambda: done.append(work()))
    except Exception as error:
        if not done:
            raise
        return done[0], unmetered(error, began)
    return done[0], meter.cost(reading)


def unmetered(error: Exception, began_s: float) -> dict[str, Any]:
    """The cost of work since `began_s` (monotonic clock), of which the meter knows nothing."""
    why = [f"not metered: {error}"]
    say(why[0])
    return {
        "seconds": time.monotonic() - began_s,
        "energy_j": {},
        "codecarbon_j": {},
        "disturbed": why,
        "wrong": why,
    }
