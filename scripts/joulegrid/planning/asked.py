"""What the workloads of a study ask of an engine, as cases of the predictor: one for each point."""

import math
from collections.abc import Sequence
from dataclasses import replace
from statistics import fmean, pstdev
from typing import Any, NamedTuple

from joulegrid.planning.architecture import Architecture
from joulegrid.planning.formats import Format
from joulegrid.planning.posterior import Case, defaults
from joulegrid.planning.prediction import (
    Machine,
    Workload,
    decode_step,
    prefill,
    whole_batches,
)
from joulegrid.planning.sizes import prompts_of, tokens_of
from joulegrid.records import ROOT
from joulegrid.study.points import points_of
from joulegrid.texts.files import decode
from joulegrid.texts.traces import parse_trace

ROUNDS = 30  # until the number of requests in flight has settled


class Asked(NamedTuple):
    """One run of a point.

    Parameters
    ----------
    requests, tokens_in, tokens_out
        how many, and their mean tokens.
    at_once
        how many may be under way at a time; None: as many as the engine allows.
    arrive_s
        over how many seconds they arrive by themselves; 0: all are there at the start.
    again
        whether they come again and again; one run is one request then.
    spread
        coefficient of variation of the tokens written, where it is known.
    """

    requests: float
    tokens_in: float
    tokens_out: float
    at_once: int | None = None
    arrive_s: float = 0.0
    again: bool = False
    spread: float = 0.0


def asked(workload: dict[str, Any]) -> list[Asked]:
    """The points of a workload, in the order in which they are measured.

    Raises
    ------
    InputError
        where prompts or a trace cannot be read.
    """
    if workload["method"] == "replay":
        return [_replay(workload)]
    lengths = workload["method"] == "lengths"
    requests, tokens = (workload["count"], 0.0) if lengths else prompts(workload)
    return [
        Asked(
            1 if workload["method"] == "steady" else requests,
            read or tokens,
            new,
            at_once,
            again=workload["method"] == "steady",
        )
        for at_once, read, new in points_of(workload)
    ]


def prompts(workload: dict[str, Any]) -> tuple[int, float]:
    """How many prompts a workload has, and their mean tokens, by their bytes."""
    count, size = prompts_of(workload)
    return count, tokens_of(size, workload["chat"])


def most_under_way(point: Asked, allowed: int) -> int:
    """The most requests of a point that an engine has in flight, which allows so many."""
    most = min(point.at_once or allowed, allowed)
    return most if point.again else min(most, max(round(point.requests), 1))


def least_asked(points: Sequence[Asked], allowed: int) -> tuple[float, int]:
    """Of some points the fewest tokens of a prompt, and the fewest requests in flight."""
    return (
        min(point.tokens_in for point in points),
        min(most_under_way(point, allowed) for point in points),
    )


def case_of(
    point: Asked, model: Architecture, form: Format, machine: Machine, allowed: int
) -> Case:
    """A point as a case, with the requests that are under way on average."""
    most = most_under_way(point, allowed)
    paced = point.again or point.arrive_s > 0
    together = most if paced else whole_batches(point.requests, most)
    work = Workload(
        point.requests, point.tokens_in, point.tokens_out, together, point.spread, point.arrive_s
    )
    case = Case(work, model, form, machine)
    if not point.arrive_s:
        return case
    return case._replace(work=replace(work, at_once=in_flight(case, most)))


def in_flight(case: Case, most: float) -> float:
    """How many requests that arrive by themselves are under way while there are any.

    By Little's law (1961) the mean number is the rate times the time that one stays; where
    arrivals are random and none waits, it is Poisson (M/G/∞), and of the time in which there are
    some the mean is L / (1 − exp(−L)). `most` is what the engine takes at a time.
    """
    factors = defaults(case.machine, case.form.kernel).factors
    rate = case.work.requests / case.work.window_s
    found = 1.0
    for _ in range(ROUNDS):
        said = replace(case.work, at_once=found), *case[1:], factors
        stay_s = prefill(*said).seconds + case.work.tokens_out * decode_step(*said).seconds
        mean = rate * stay_s
        found = min(max(mean / -math.expm1(-mean), 1.0), most)
    return found


def _replay(workload: dict[str, Any]) -> Asked:
    """Requests that arrive at a rate, or by a trace that may say how long each is."""
    duration_s, new = workload["duration_s"], workload["new_tokens"]
    mean = prompts(workload)[1] if "prompts" in workload else 0.0
    if "trace" not in workload:
        rate = workload["rate_per_s"] if "rate_per_s" in workload else 1 / workload["interval_s"]
        return Asked(max(rate * duration_s, 1.0), mean, new, arrive_s=duration_s)
    name = workload["trace"]
    rows = parse_trace(decode((ROOT / name).read_bytes(), name), name)
    inside = [row for row in rows if row.arrival_s < duration_s]
    read = [
        row.prompt_tokens or (_mean_tokens([row.prompt], workload["chat"]) if row.prompt else mean)
        for row in inside
    ]
    written = [row.new_tokens or new for row in inside]
    count = len(inside)
    spread = pstdev(written) / fmean(written)
    return Asked(count, fmean(read), fmean(written), arrive_s=duration_s, spread=spread)


def _mean_tokens(texts: Sequence[str], chat: bool) -> float:
    return tokens_of(sum(len(text.encode()) for text in texts) / len(texts), chat)
