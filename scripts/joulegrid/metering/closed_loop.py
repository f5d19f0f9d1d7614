"""Requests that keep coming, so that always as many are under way: what counts is the time in which
the batch is full.

That time is the steady state of the ML.ENERGY benchmark 3: it begins when as many requests as run
at once have their first token, and ends when all but one more than as many of them have finished;
reading the prompts of the requests that follow is in it. Its energy is cut out of the samples of
the counters.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import cycle, islice
from math import ceil
from typing import Any

from joulegrid.engines import Completion, Engine
from joulegrid.jobs.run import say
from joulegrid.metering.meter import Meter
from joulegrid.workloads import Point

# Batches of a run that warms up, and of any other at least: one fills, one is full, one ends
FEWEST_BATCHES = 3
# The loop is made longer by so much than it would have to be, so that it is not measured twice
MARGIN = 1.1
Window = dict[str, Any]


@dataclass
class ClosedLoop:
    """The requests of a point, one after the other and again, `point.at_once` under way.

    Parameters
    ----------
    count
        how many requests the next run has.
    """

    engine: Engine
    point: Point
    count: int = 0
    completions: Sequence[Completion] = field(default_factory=list)
    _began_s: float = 0.0

    def __post_init__(self) -> None:
        self.count = FEWEST_BATCHES * self.at_once + 1

    @property
    def at_once(self) -> int:
        """Requests that are under way at once."""
        return self.point.at_once or 1

    def __call__(self) -> Sequence[Completion]:
        """Run `count` requests; gives their completions."""
        self._began_s = float("inf")
        requests = list(islice(cycle(self.point.requests), self.count))
        self.completions = self.engine.run(requests, at_once=self.at_once, report=self._note)
        return self.completions

    def _note(self, found: Mapping[int, Completion]) -> None:
        """When the run began, on the clock of the samples: a report may come late, never early."""
        latest_s = max(each.done_s for each in found.values())
        self._began_s = min(self._began_s, time.monotonic() - latest_s)

    def full(self) -> tuple[float, float]:
        """From when to when the batch of the last run was full, in s after its beginning."""
        first = sorted(_first_token_s(each) for each in self.completions)
        done = sorted(each.done_s for each in self.completions)
        return first[self.at_once - 1], done[len(done) - self.at_once - 2]

    def window(self, meter: Meter, min_seconds: float) -> Window:
        """One stretch of at least so many seconds in which the batch is full."""
        while True:
            reading = meter.measure_part(self._stretch)
            begin_s, end_s = self.full()
            full_s = end_s - begin_s
            counted = counted_in(self.completions, begin_s, end_s)
            rate = len(self.completions) / max(each.done_s for each in self.completions)
            if full_s >= min_seconds and counted["runs"] > 0:
                return {**reading.facts(), **counted}
            say(f"the batch was full for {full_s:.2f} s: more requests")
            missing = ceil(rate * max(min_seconds - full_s, 0) * MARGIN)
            self.count += max(missing, self.at_once)

    def _stretch(self) -> tuple[float, float]:
        """Run, and say from when to when the batch was full on the clock of the samples."""
        self()
        begin_s, end_s = self.full()
        return self._began_s + begin_s, self._began_s + end_s


def counted_in(completions: Sequence[Completion], begin_s: float, end_s: float) -> dict[str, int]:
    """What of some requests lies behind an instant and up to another.

    Generated tokens are taken to come at equal distances from the first to the end of a request.
    Prompts count with the first token, requests and their padding with their end; one run of the
    workload is one request.
    """

    def inside(instant: float) -> bool:
        return begin_s < instant <= end_s

    finished = [each for each in completions if inside(each.done_s)]
    return {
        "runs": len(finished),
        "requests": len(finished),
        "tokens_read": sum(c.tokens_read for c in completions if inside(_first_token_s(c))),
        "tokens_written": sum(inside(t) for c in completions for t in _token_times_s(c)),
        "padding": sum(each.padding for each in finished),
    }


def _first_token_s(completion: Completion) -> float:
    """When the first token came; where the engine does not say, as if reading the prompt took as
    long as a token.
    """
    if completion.first_token_s is not None:
        return completion.first_token_s
    started = completion.started_s or 0.0
    return started + (completion.done_s - started) / max(completion.tokens_written, 1)


def _token_times_s(completion: Completion) -> list[float]:
    first, count = _first_token_s(completion), completion.tokens_written
    step = (completion.done_s - first) / max(count - 1, 1)
    # the last is the end itself, without rounding
    return [*(first + n * step for n in range(count - 1)), completion.done_s][:count]
