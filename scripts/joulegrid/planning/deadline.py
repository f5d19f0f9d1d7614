"""When to begin sessions, so that their energy falls in the cleanest hours before a deadline.

What begins together are the sessions of one hardware entry and one round: session 1 of all its
cells, then session 2. Rounds stay in their order, so that what drifts still falls into the spread
of every cell. The begins of the rounds with the least expected emissions are found exactly, by
dynamic programming over steps of a quarter of an hour; of begins that are nearly as clean, the
first are taken.
"""

import heapq
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from joulegrid.planning import ranges
from joulegrid.planning.cells import Judged
from joulegrid.planning.outlook import Outlook
from joulegrid.planning.ranges import NOTHING, Forecast, Range
from joulegrid.study.grid import Cell
from joulegrid.units import J_PER_KWH

STEP_S, STEPS_PER_HOUR = 900, 4
PER_HOUR = 3600.0
# A share of the emissions that nobody need wait for
TOO_LITTLE = 0.01
QUANTILES = ((1 - ranges.COVERED) / 2, 0.5, (1 + ranges.COVERED) / 2)

Floats = NDArray[np.float64]


class Round(NamedTuple):
    """The sessions of a hardware entry that belong to one round and would be run.

    Parameters
    ----------
    jobs
        how many of them.
    hours, most_hours
        how long they take, so many at once as the cluster runs, each where one before has ended:
        the median, and what nine of ten rounds stay below.
    kwh
        of the GPUs, with the machine's PUE: the median.
    ready_hours, most_ready_hours
        from now until all of their weights are made: the median, and nine times of ten.
    """

    hardware: str
    session: int
    jobs: int
    hours: float
    most_hours: float
    kwh: float
    ready_hours: float = 0.0
    most_ready_hours: float = 0.0


class Shift(NamedTuple):
    """When rounds begin, and what that saves.

    Parameters
    ----------
    begins
        hardware entry, session -> h from now on; not of rounds that follow on the one before.
    grams
        expected, if all began now.
    saved
        as a share of that: 80 % range over the outlook's cases.
    bound
        the same with perfect foresight of each case: no choice of begins saves more.
    """

    begins: dict[tuple[str, int], float]
    grams: float
    saved: Range
    bound: Range


def rounds(
    cells: Iterable[Judged],
    to_run: Iterable[str],
    at_once: Callable[[str], int],
    pue: Mapping[str, float],
    ready: Callable[[Cell], Range] = lambda cell: NOTHING,
) -> tuple[list[Round], list[str]]:
    """The rounds of hardware entries all of whose sessions are predicted, and the entries of which
    some are not.

    Parameters
    ----------
    to_run
        paths of the records that a run would make.
    at_once
        how many energy jobs of a hardware entry run at the same time.
    ready
        cell -> hours until its weights are made.
    """
    known = {each.cell: each for each in cells}
    members: dict[tuple[str, int], list[Judged]] = {}
    for path in to_run:
        kind, *labels, _ = path.split("/")
        if kind == "energy":
            each = known[Cell(*labels[:-1])]
            members.setdefault((each.cell.hardware, int(labels[-1])), []).append(each)
    unknown = {
        hardware
        for (hardware, _), jobs in members.items()
        for each in jobs
        if each.session is None and not each.doubtful  # those end as soon as they have begun
    }
    found = [
        _round(hardware, session, jobs, at_once(hardware), pue[hardware])._replace(
            ready_hours=max(ready(each.cell).median for each in jobs),
            most_ready_hours=max(ready(each.cell).high for each in jobs),
        )
        for (hardware, session), jobs in sorted(members.items())
        if hardware not in unknown
    ]
    return found, sorted(unknown)


def _round(hardware: str, session: int, jobs: list[Judged], at_once: int, pue: float) -> Round:
    said = [each.session for each in jobs if each.session is not None]
    hours = _one_by_one([each.seconds for each in said], at_once) / PER_HOUR
    kwh = pue * ranges.joules(said).median / J_PER_KWH
    return Round(hardware, session, len(jobs), hours, _most_s(said, at_once) / PER_HOUR, kwh)


def _one_by_one(lengths: Sequence[float], at_once: int) -> float:
    """When jobs are over that begin in this order, each where one before has ended first."""
    ends = [0.0] * at_once
    for length in lengths:
        heapq.heapreplace(ends, ends[0] + length)
    return max(ends)


def _most_s(said: Sequence[Forecast], at_once: int) -> float:
    """What nine of ten rounds stay below, in whatever order a queue begins their sessions: Graham's
    bound (1969, doi 10.1137/0117039); of no more sessions than begin at once the longest.
    """
    longest = max((ranges.seconds([each]).high for each in said), default=0.0)
    if len(said) <= at_once:
        return longest
    return ranges.seconds(said).high / at_once + (1 - 1 / at_once) * longest


def hours_of(found: Sequence[Round]) -> dict[str, float]:
    """Hardware entry -> hours until its rounds are over nine times of ten, one after another, each
    when its weights are made.
    """
    over: dict[str, int] = {}
    for each in found:
        begin = max(over.get(each.hardware, 0), _steps(each.most_ready_hours))
        over[each.hardware] = begin + _most(each)
    return {entry: steps / STEPS_PER_HOUR for entry, steps in over.items()}


def shifted(found: Sequence[Round], outlook: Outlook, skipped: int, steps: int) -> Shift:
    """When rounds begin for the least expected emissions, and what that saves in all cases.

    Parameters
    ----------
    found
        rounds, those of an entry in their order; the entries run beside each other.
    skipped
        steps of the outlook's first hour that are over.
    steps
        from now to the deadline; not fewer than the rounds of any entry need, see `hours_of`.
    """
    expected, cases = (
        np.repeat(values, STEPS_PER_HOUR, axis=-1)[..., skipped : skipped + steps]
        for values in (outlook.expected[None], outlook.cases)
    )
    begins: dict[tuple[str, int], float] = {}
    now, then, least, grams = (np.zeros(len(cases)) for _ in range(4))
    for entry in hours_of(found):
        own = [each for each in found if each.hardware == entry]
        at_first = _at_first(own)
        chosen = _cleanest(own, _costs(own, expected))
        costs = _costs(own, cases)
        now += _of(costs, at_first)
        then += _of(costs, chosen)
        least += _totals(own, costs)[-1].min(axis=1)
        grams = grams + _of(_costs(own, expected), at_first)
        begins |= _told(own, chosen, at_first)
    saved, bound = _shares(then, now), _shares(least, now)
    if saved.median <= 0:  # nothing that is worth waiting for
        begins, saved = {}, ranges.NOTHING
    return Shift(begins, float(grams[0]) if len(grams) else 0.0, saved, bound)


def _steps(hours: float) -> int:
    return math.ceil(round(hours * STEPS_PER_HOUR, 6))


def _median(each: Round) -> int:
    """Steps that a round takes."""
    return max(_steps(each.hours), 1)


def _most(each: Round) -> int:
    """Steps that nine of ten rounds stay below."""
    return max(_steps(each.most_hours), _median(each))


def _at_first(own: list[Round]) -> list[int]:
    """The steps at which rounds begin that wait for nothing but their weights and those ahead."""
    found, over = [], 0
    for each in own:
        found.append(max(over, _steps(each.ready_hours)))
        over = found[-1] + _median(each)
    return found


def _costs(own: list[Round], intensity: Floats) -> list[Floats]:
    """Of every round, cases × steps at which it may begin: grams; infinite where its weights are
    not made, or it and those behind it might not be over in time.
    """
    total, steps = intensity.shape
    sums = np.concatenate([np.zeros((total, 1)), np.cumsum(intensity, axis=1)], axis=1)
    found = []
    for position, each in enumerate(own):
        takes, last = _median(each), steps - sum(_most(later) for later in own[position:])
        means = (sums[:, takes:] - sums[:, :-takes]) / takes
        grams = np.full((total, steps), np.inf)
        may = slice(_steps(each.ready_hours), last + 1)
        grams[:, may] = each.kwh * means[:, may]
        found.append(grams)
    return found


def _totals(own: list[Round], costs: list[Floats]) -> list[Floats]:
    """Of every round, cases × steps: the least grams of it and those ahead, if it begins there."""
    found = [costs[0]]
    for ahead, cost in zip(own, costs[1:], strict=False):
        takes = _median(ahead)
        before = np.full_like(cost, np.inf)
        before[:, takes:] = np.minimum.accumulate(found[-1], axis=1)[:, :-takes]
        found.append(cost + before)
    return found


def _cleanest(own: list[Round], costs: list[Floats]) -> list[int]:
    """The first steps at which the rounds of an entry may begin for the least of one case, or for
    hardly more.
    """
    totals, chosen = _totals(own, costs), list[int]()
    least, latest = totals[-1].min(), totals[-1].shape[1]
    left = least * (1 + TOO_LITTLE + 1e-9)  # and what sums are rounded by
    for position in reversed(range(len(own))):
        begin = int(np.argmax(totals[position][0, :latest] <= left))
        chosen.insert(0, begin)
        left -= costs[position][0, begin]
        latest = begin - _median(own[position - 1]) + 1
    return chosen


def _of(costs: list[Floats], begins: Any) -> Floats:
    """Grams of every case with these begins."""
    return np.sum([cost[:, begin] for cost, begin in zip(costs, begins, strict=True)], axis=0)


def _shares(grams: Floats, now: Floats) -> Range:
    """What is saved as a share, its quantiles over the cases."""
    shares = 1 - np.divide(grams, now, out=np.ones_like(now), where=now > 0)
    return Range(*(float(value) for value in np.quantile(shares, QUANTILES)))


def _told(own: list[Round], chosen: list[int], at_first: list[int]) -> dict[tuple[str, int], float]:
    """Hours from now to the begin of each round; one that follows on another may begin with it, as
    soon as there is room, and nothing waits that may begin now, or when its weights are made.
    """
    found, over, begin = {}, 0, 0
    for each, step, first in zip(own, chosen, at_first, strict=True):
        if step == first:
            begin = 0
        elif step != over:
            begin = step
        over = step + _median(each)
        if begin:
            found[each.hardware, each.session] = begin / STEPS_PER_HOUR
    return found
