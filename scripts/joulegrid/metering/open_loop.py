"""The one window of a replay: requests arrive by themselves, and idling between them is part of it.

The window lasts as long as requests are to arrive, and then until the last one is done, but no
longer than `drain_s` more: a machine that falls behind for good would need without end.
"""

import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import Any

from joulegrid.engines import Completion, Engine, Request
from joulegrid.errors import Disturbed, Finding, InputError, OutOfMemory, Terminated, Unsupported
from joulegrid.jobs import requests as table
from joulegrid.jobs.outcomes import finding_of, first_line, said_by
from joulegrid.jobs.run import deferred, say
from joulegrid.metering import bins, latency
from joulegrid.metering.meter import Meter, Reading
from joulegrid.metering.points import Measured, warm_up
from joulegrid.records import OOM, UNSUPPORTED

# So many requests, all at once, are run again and again to warm up
WARM_UP_REQUESTS = 4


class _Overdue(BaseException):
    """The last request was not done in time; no Exception, so that no library goes on after it."""


@dataclass
class Replay:
    """What is known of a replay so far: SIGTERM may end it anywhere.

    Parameters
    ----------
    found
        completions by the position of their request.
    begun
        when requests were taken up that are not complete, s, by position; maybe others.
    ended
        why it was ended from outside, None where it was not.
    failure
        what the engine failed with, None where it did not.
    overdue
        whether requests were given up: the engine may still be at work.
    counts
        whether its window is finished and may count.
    facts
        what the record says of it.
    """

    requests: Sequence[Request]
    found: dict[int, Completion] = field(default_factory=dict)
    begun: dict[int, float] = field(default_factory=dict)
    ended: str | None = None
    failure: Exception | None = None
    overdue: bool = False
    counts: bool = False
    facts: dict[str, Any] = field(default_factory=dict)

    def rows(self) -> list[dict[str, Any]]:
        """See `jobs.requests`."""
        return table.rows(self.requests, self.found, self.begun)


def warm(engine: Engine, requests: Sequence[Request]) -> list[str]:
    """Prepare all requests and warm up with the first few; what is to be said where it took too
    long.
    """
    engine.prepare(requests)
    first = [replace(request, arrival_s=0.0) for request in requests[:WARM_UP_REQUESTS]]
    return warm_up(lambda: engine.run(first))[1]


def measure(replay: Replay, measured: Measured, engine: Engine, meter: Meter, spec: Any) -> None:
    """Measure the window and say how the requests fared. SIGTERM ends the requests; what was
    measured is worked out all the same.

    Raises
    ------
    Disturbed
        with window and facts, where SIGTERM or a failure of the engine ended the replay, its
        reading cannot be right, or too much of its time was disturbed and the protocol refuses
        that.
    OutOfMemory, Unsupported
        with window and facts, where that is what the engine failed with.
    InputError
        where no request was finished.
    """
    workload, protocol = spec["workload"], spec["protocol"]
    before = len(meter.recorded)
    say(f"replay: {len(replay.requests)} requests in {workload['duration_s']:g} s")
    with ExitStack() as behind:
        try:
            _, reading = meter.measure(lambda: _run(replay, engine, workload, behind))
            stream = meter.recorded[before:]
            parts = bins.split(meter, stream, workload["duration_s"], workload["bin_s"])
        except InputError as error:  # counters tell nothing of a moment: the failure comes first
            raise replay.failure or error from None
        measured.completions = [replay.found[n] for n in sorted(replay.found)]
        window = _window(measured.completions, reading, bins.disturbances(parts))
        measured.windows.append(window)
        replay.facts = _facts(replay, workload, window, parts)
        _judge(replay, window, protocol)


def _run(replay: Replay, engine: Engine, workload: Mapping[str, Any], behind: ExitStack) -> None:
    """Let the requests arrive; what is done is in `found`, however it ends. From its end on SIGTERM
    waits until `behind` is left.
    """
    duration_s, began = workload["duration_s"], time.perf_counter()
    latest_s = duration_s + workload["drain_s"]

    def report(found: Mapping[int, Completion]) -> None:
        replay.found |= found
        is_late = any(each.done_s > latest_s for each in found.values())
        if is_late and len(replay.found) < len(replay.requests):
            raise _Overdue

    try:
        engine.run(replay.requests, report=report)
        time.sleep(max(duration_s - (time.perf_counter() - began), 0.0))
    except _Overdue:
        replay.overdue = True
    except Terminated as error:
        replay.ended = str(error)
    except Exception as error:  # the energy until then is still to be read
        replay.failure = error
    finally:
        behind.enter_context(deferred())
        replay.begun = engine.begun()


def _window(
    completions: Sequence[Completion], reading: Reading, disturbed: list[str]
) -> dict[str, Any]:
    """As windows of other workloads; what disturbed it is judged by its bins, not as a whole."""
    facts = {key: value for key, value in reading.facts().items() if key != "disturbed"}
    reasons = [*reading.wrong, *disturbed]
    return {
        **facts,
        **({"disturbed": reasons} if reasons else {}),
        "runs": 1,
        "requests": len(completions),
        "tokens_read": sum(each.tokens_read for each in completions),
        "tokens_written": sum(each.tokens_written for each in completions),
        "padding": sum(each.padding for each in completions),
    }


def _facts(
    replay: Replay,
    workload: Mapping[str, Any],
    window: Mapping[str, Any],
    parts: Sequence[dict[str, Any]],
) -> dict[str, Any]:
    """What the record says of a replay, see `latency.summary`; energy in J."""
    duration_s = workload["duration_s"]
    seconds, begun = window["seconds"], replay.begun
    found = latency.summary(replay.requests, replay.found, duration_s, seconds, begun)
    joules = sum(window["energy_j"].values())
    return {
        **found,
        "energy_per_request_j": joules / found["finished"] if found["finished"] else None,
        "drain_energy_j": bins.behind(parts, duration_s),
        "disturbed_share": bins.disturbed_share(parts),
        "bins": parts,
    }


def _judge(replay: Replay, window: dict[str, Any], protocol: Mapping[str, Any]) -> None:
    facts = replay.facts
    until = (
        f"after {window['seconds']:.0f} of {facts['duration_s']:g} s: "
        f"{facts['finished']} of {len(replay.requests)} requests were finished"
    )
    if replay.ended is not None:
        say(f"{replay.ended} {until}")
        text = f"{replay.ended} {until}; the next run tries again"
        raise Disturbed(text, [window], {"replay": facts})
    if replay.failure is not None:
        raise _failed(replay.failure, until, window, facts)
    if not window["tokens_written"]:
        raise InputError(
            f"none of {facts['arrived']} requests was finished within {window['seconds']:.0f} s: "
            "lower the rate, or lengthen workload.drain_s"
        )
    reasons = window.get("disturbed")
    if window.get("wrong") or (reasons and protocol["disturbed"] == "refuse"):
        text = f"the machine was disturbed: {'; '.join(reasons or ())}"
        raise Disturbed(text, [window], {"replay": facts})
    if reasons:
        window["counts"] = True
    replay.counts = True


def _failed(
    error: Exception, until: str, window: dict[str, Any], facts: dict[str, Any]
) -> InputError | Finding:
    """What a failure of the engine stands for, with what was measured until then."""
    kinds: dict[str | None, type[Finding]] = {OOM: OutOfMemory, UNSUPPORTED: Unsupported}
    kind = kinds.get(finding_of(error))
    if kind is not None:
        text = f"{first_line(error)} ({until})"
        return kind(text, {"windows": [window], "replay": facts})
    text = f"the engine failed {until}; the next run tries again: {said_by(error)}"
    return Disturbed(text, [window], {"replay": facts})
