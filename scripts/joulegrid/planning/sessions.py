"""What one session of a cell takes: loading, idling, warming up, and the windows of all its points.

How long answers become, how many windows it takes and how fast weights load is not known before:
each is a further direction of the range.
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from joulegrid.planning.memory import weights_bytes
from joulegrid.planning.meter import (
    BATCHES,
    FEWEST_WARM_UP_RUNS,
    LOAD_BYTES_PER_S,
    LONGER,
    START_S,
    WARM_UP_REQUESTS,
    WARM_UP_S,
    idle_s,
)
from joulegrid.planning.posterior import Case
from joulegrid.planning.ranges import Forecast, Range, forecast

# Assumed where only a run can tell
WARM_UP_RUNS, WINDOWS, FEW_AND_MANY = 3, 5, (3, 12)
LONG_RUN_S = WARM_UP_S / FEWEST_WARM_UP_RUNS  # of runs that are longer no more warm up
SHORTEST = 0.25  # of the most tokens, of answers that end by themselves

Values = NDArray[np.float64]  # s, and J of the GPUs


class Repeated(NamedTuple):
    """A run, how often it is done before the windows and in each of them, and whether its time is
    fixed, whatever it computes.
    """

    run: Forecast
    before: float
    each: float
    timed: bool = False


def session(
    cases: Sequence[Case], runs: Sequence[Forecast], workload: dict[str, Any], protocol: dict
) -> Forecast:
    """What one session of a workload's points takes, of which `runs` says what one run takes."""
    belief = runs[0].belief
    parts = [
        part
        for case, run in zip(cases, runs, strict=True)
        for part in _repeated(case, run, workload, protocol)
    ]
    first, machine = parts[0].run, cases[0].machine
    size = weights_bytes(cases[0].model, cases[0].form)
    idle = np.array([1.0, machine.gpus * machine.device.loaded_idle_w])
    beside_s = idle_s(protocol, machine.gpus if machine.device.is_gpu else 0)

    def around(slower: float = 1.0) -> Values:
        load_s = START_S + slower * size / LOAD_BYTES_PER_S
        return (load_s + beside_s) * idle

    usual, few, many = (min(n, protocol["max_windows"]) for n in (WINDOWS, *FEW_AND_MANY))

    def worked(windows: float = usual) -> Values:
        return sum((_often(part, windows) * _values(part.run) for part in parts), start=np.zeros(2))

    median = around() + worked()
    least = around() + worked(few)
    most = around() + worked(many)
    beside = [[least, around(0.5) + worked(), median], [most, around(3.0) + worked(), median]]
    if workload.get("stop") == "natural":
        short = [_shorter(case) for case in cases]
        less = [forecast(case, belief) for case in short]
        told = session(short, less, {**workload, "stop": "fixed"}, protocol)
        beside[0][-1] = _values(told)
    moved = around() + sum(_often(part, usual) * part.run.moved for part in parts)
    loose = sum(
        (_often(part, usual) * _values(part.run) * [not part.timed, 1] for part in parts),
        start=np.zeros(2),
    )
    return replace(
        first,
        seconds=float(median[0]),
        joules=float(median[1]),
        moved=np.concatenate([moved, np.array(beside)], axis=1),
        noise=(first.noise[0] * loose[0] / median[0], first.noise[1] * loose[1] / median[1]),
    )


def known_s(workload: dict[str, Any], protocol: dict[str, Any], gpus: int) -> Range | None:
    """How long a session takes by what a workload says alone, on so many GPUs, s: that of a replay,
    which ends when all that arrived is served, at the latest `drain_s` behind its duration. None of
    others.
    """
    if "duration_s" not in workload:
        return None
    least = START_S + idle_s(protocol, gpus) + workload["duration_s"]
    return Range(least, least, least + workload["drain_s"])


def _repeated(
    case: Case, run: Forecast, workload: dict[str, Any], protocol: dict[str, Any]
) -> list[Repeated]:
    work, method, belief = case.work, workload["method"], run.belief
    if method == "replay":
        few = min(WARM_UP_REQUESTS, work.requests)
        warm = replace(work, requests=few, at_once=min(few, work.at_once), window_s=0.0)
        window = _given_up(run, workload["duration_s"] + workload["drain_s"])
        timed = abs(run.seconds / work.window_s - 1) < 1e-6
        return [
            Repeated(forecast(case._replace(work=warm), belief), WARM_UP_RUNS, 0),
            Repeated(window, 1, 0, timed),
        ]
    if method == "steady":
        batch, full = work.at_once, protocol["min_seconds"] / run.seconds
        window = max(BATCHES * batch + 1, math.ceil(LONGER * full) + (BATCHES - 1) * batch)
        return [Repeated(run, WARM_UP_RUNS * (BATCHES * batch + 1), window)]
    found = [run]
    if protocol["phases"]:  # windows of one token beside the others
        found.append(forecast(case._replace(work=replace(work, tokens_out=1.0)), belief))
    return [
        Repeated(each, _warm_up_runs(each), math.ceil(protocol["min_seconds"] / each.seconds))
        for each in found
    ]


def _warm_up_runs(run: Forecast) -> int:
    return WARM_UP_RUNS if run.seconds < LONG_RUN_S else FEWEST_WARM_UP_RUNS


def _often(part: Repeated, windows: float) -> float:
    return part.before + windows * part.each


def _values(run: Forecast) -> Values:
    return np.array([run.seconds, run.joules])


def _shorter(case: Case) -> Case:
    return case._replace(work=replace(case.work, tokens_out=SHORTEST * case.work.tokens_out))


def _given_up(run: Forecast, most_s: float) -> Forecast:
    """A replay that is ended after so many seconds, served or not."""
    share = np.minimum(1.0, most_s / run.moved[..., :1])
    own = min(1.0, most_s / run.seconds)
    return replace(run, seconds=run.seconds * own, joules=run.joules * own, moved=run.moved * share)
