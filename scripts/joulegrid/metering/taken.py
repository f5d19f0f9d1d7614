"""What a session has so far, and what is kept of it where it ends early."""

from dataclasses import dataclass, field
from typing import Any

from joulegrid.errors import Disturbed
from joulegrid.jobs.outcomes import first_line, said_by
from joulegrid.metering.open_loop import Replay
from joulegrid.metering.points import Measured
from joulegrid.metering.windows import Window, count, require_clean
from joulegrid.records import MISSING


@dataclass
class Taken:
    """What a session has so far: SIGTERM may end it anywhere.

    Parameters
    ----------
    facts
        what the record says of the time before the windows.
    idle
        power by time, None where it was not measured.
    warnings
        what is to be said of idle power and of warming up.
    replay
        of a workload whose requests arrive by themselves.
    memory_bytes
        what the points that ran needed at most, by component.
    death
        what the engine died of, and that nothing behind it was tried; None while it runs.
    """

    facts: dict[str, Any] = field(default_factory=dict)
    idle: dict[str, Any] = field(default_factory=lambda: dict.fromkeys(("before", "loaded", "end")))
    points: list[Measured] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    meter: Any = None
    engine: Any = None
    memory: dict[str, Any] | None = None
    memory_bytes: dict[str, Any] = field(default_factory=dict)
    replay: Replay | None = None
    death: str | None = None

    @property
    def able(self) -> list[Measured]:
        """The points that have no finding."""
        return [each for each in self.points if each.finding is None]

    @property
    def windows(self) -> list[Window]:
        """Of all points, each with the index of its point where there are several."""
        return self._of_points("windows")

    @property
    def prefill(self) -> list[Window]:
        """The same of prefill."""
        return self._of_points("prefill")

    def _of_points(self, kind: str) -> list[Window]:
        if len(self.points) == 1:
            return list(getattr(self.points[0], kind))
        rows = enumerate(self.points)
        return [{"point": n, **window} for n, each in rows for window in getattr(each, kind)]


def at(taken: Taken, measured: Measured) -> str:
    """Which point it is."""
    return f"at point {taken.points.index(measured) + 1} of {len(taken.points)}"


def keep_windows(taken: Taken, measured: Measured, error: Exception) -> None:
    """Where a point ends the session with an error, raise Disturbed with all windows so far, if
    there are any and the error does not have them itself.
    """
    several = len(taken.points) > 1
    if not taken.windows or (isinstance(error, Disturbed) and not several):
        return
    for each in taken.points[taken.points.index(measured) :]:
        each.finding = {"status": MISSING, "reason": first_line(error)}
    where = f"{at(taken, measured)} " if several else ""
    raise Disturbed(
        f"ended {where}after {len(taken.windows)} windows, the next run tries again: "
        f"{said_by(error)}",
        taken.windows,
        {"points": [each.facts() for each in taken.points]},
    ) from error


def require_all(taken: Taken, protocol: dict[str, Any], ended: str) -> None:
    """See that enough windows of every point count, of a session that ended early."""
    if taken.replay is not None and taken.replay.counts:
        return
    if not taken.points:
        require_clean([], protocol, ended)
    for measured in taken.able:
        if not count(measured.windows, protocol):
            raise Disturbed(f"{ended}; the next run tries again", taken.windows)


def progress(taken: Taken) -> str:
    """How far a session came."""
    if not taken.windows:
        return "before the first window was finished: nothing is measured"
    return f"after {len(taken.windows)} windows"
