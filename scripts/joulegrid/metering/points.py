"""One point of a workload: warm up, and measure its windows."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import cycle, islice
from typing import Any

from joulegrid.engines import Completion, Engine, Request
from joulegrid.jobs.run import say
from joulegrid.metering.closed_loop import ClosedLoop
from joulegrid.metering.windows import Run, Window
from joulegrid.records import OK
from joulegrid.workloads import Point

# Warm-up ends when a run takes as long as the one before, up to this share, or after so many runs
SETTLED, LONGEST_WARM_UP = 0.05, 10
# or, from the second run on, after so many seconds: on a busy machine no two runs take the same
# time, ten of them can take longer than the windows, and the windows show what disturbs them
WARM_UP_S = 180.0


@dataclass
class Measured:
    """What is known of a point so far.

    Parameters
    ----------
    prefill
        windows in which every request generates one token only.
    completions
        of one run, that were warmed up with.
    finding
        status and reason of a point that cannot run.
    """

    point: Point
    windows: list[Window] = field(default_factory=list)
    prefill: list[Window] = field(default_factory=list)
    completions: Sequence[Completion] = ()
    finding: dict[str, Any] | None = None

    def facts(self) -> dict[str, Any]:
        """As a record stores it: `lengths` are those of each request of one run, in order."""
        return {
            **(self.finding or {"status": OK}),
            "prompt_tokens": self.point.prompt_tokens,
            "new_tokens": self.point.new_tokens,
            "at_once": self.point.at_once,
            "lengths": {
                "tokens_read": [completion.tokens_read for completion in self.completions],
                "tokens_written": [completion.tokens_written for completion in self.completions],
            },
        }


def runner(engine: Engine, point: Point, requests: Sequence[Request] = ()) -> Run:
    """A function that runs the requests of a point once, or others in their place; or its closed
    loop.
    """
    if point.steady:
        return ClosedLoop(engine, point)
    asked = requests or point.requests
    if point.at_once is None:
        return partial(engine.run, asked)
    return partial(engine.run, asked, at_once=point.at_once)


def asking(requests: Sequence[Request], new_tokens: int) -> tuple[Request, ...]:
    """The same requests for exactly so many new tokens."""
    return tuple(replace(request, new_tokens=new_tokens, stops=False) for request in requests)


def as_written(measured: Measured) -> tuple[Request, ...]:
    """The requests of a point for as many new tokens as were written."""
    asked = islice(cycle(measured.point.requests), len(measured.completions))
    rows = zip(asked, measured.completions, strict=True)
    return tuple(replace(request, new_tokens=done.tokens_written) for request, done in rows)


def warm_up(run: Callable[[], Any]) -> tuple[Any, list[str]]:
    """Run until the run time has settled.

    Returns
    -------
    What the last run gave, and what is to be said where it took too long.
    """
    began, before = time.perf_counter(), 0.0
    for number in range(1, LONGEST_WARM_UP + 1):
        start = time.perf_counter()
        found = run()
        end = time.perf_counter()
        say(f"warm-up {number}: {end - start:.2f} s")
        if abs(end - start - before) <= SETTLED * (end - start):
            break
        if number > 1 and end - began >= WARM_UP_S:
            text = f"the time of a run had not settled within {WARM_UP_S:g} s of warming up"
            say(text)
            return found, [text]
        before = end - start
    return found, []
