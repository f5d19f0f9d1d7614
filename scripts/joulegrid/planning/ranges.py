"""How far a prediction may be off: 80 % ranges, of one cell and of many together."""

import math
from collections import defaultdict
from collections.abc import Hashable, Iterable
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from joulegrid.planning.own import Floats, Told
from joulegrid.planning.own import spread as spread_of_own
from joulegrid.planning.posterior import Belief, Case, expected, noise, own_of

COVERED = 0.8
# Factors that are a kernel's own; all others are the same unknowns in every kernel of an engine on
# a board, and these in every engine there
OF_KERNELS = ("kernel", "kernel_launch")
OF_BOARDS = ("power_floor", "power_memory", "power_compute", "idle", "bus")
QUANTILE = float(ndtri((1 + COVERED) / 2))  # 1.28


class Range(NamedTuple):
    """A median, and what 80 % of outcomes lie between."""

    low: float
    median: float
    high: float


@dataclass(frozen=True)
class Forecast:
    """What a case is expected to take.

    Parameters
    ----------
    seconds, joules
        medians; joules of the GPUs.
    moved
        the same with the factors moved along each direction of what is not known of them, by its
        10 % and its 90 % quantile: 2 × directions × (seconds, joules). The last two are of what
        measured points leave of the model's own factors.
    noise
        σ of what is left of the logarithms of both when the factors are known.
    belief
        what it rests on.
    board, engine
        what it runs on and with.
    """

    seconds: float
    joules: float
    moved: NDArray[np.float64]
    noise: tuple[float, float]
    belief: Belief
    board: str = ""
    engine: str = ""

    @property
    def unknown(self) -> list[Hashable]:
        """What each direction is, of which `moved` tells: of the defaults, one factor; of a belief
        that rests on rows, nothing that another one knows.
        """
        found: list[Hashable] = [(id(self.belief), k) for k in range(self.moved.shape[1])]
        for place, name in enumerate(() if self.belief.rows else self.belief.names):
            if name not in OF_KERNELS:
                found[place] = (self.board, "" if name in OF_BOARDS else self.engine, name)
        return found

    @property
    def rests_on(self) -> str:
        """Defaults, or calibration and by how many rows."""
        rows = self.belief.rows
        return "defaults" if not rows else f"calibrated by {rows} row{'s' if rows > 1 else ''}"


def forecast(case: Case, belief: Belief) -> Forecast:
    """What a case is expected to take, and how sure that is."""
    told, shared = own_of(case, belief), len(belief.names)
    said = expected(case, belief, told)
    still = said.seconds, said.joules
    own = [shared + 2 * place + which for place in told.places for which in range(2)]
    concerned = [*range(shared), *own]  # points of other models change nothing
    directions = np.linalg.cholesky(belief.covariance).T
    alone = math.sqrt(told.left) * np.diag(spread_of_own(case.model))
    moved = []
    for sign in (-QUANTILE, QUANTILE):
        known = (
            _at(case, belief, told, sign * each) if each[concerned].any() else still
            for each in directions
        )
        moved.append([*known, *(_beyond(case, belief, told, sign * each) for each in alone)])
    machine = case.machine
    return Forecast(
        *still, np.array(moved), noise(case.model), belief, machine.device.name, machine.engine
    )


def seconds(forecasts: Iterable[Forecast]) -> Range:
    """How long some cases take one after another, s."""
    return _sum([(f, f.seconds) for f in forecasts], 0)


def joules(forecasts: Iterable[Forecast]) -> Range:
    """What the GPUs take for some cases together, J."""
    return _sum([(f, f.joules) for f in forecasts], 1)


def _at(case: Case, belief: Belief, told: Told, shift: Floats) -> tuple[float, float]:
    said = expected(case, replace(belief, log=belief.log + shift), told)
    return said.seconds, said.joules


def _beyond(case: Case, belief: Belief, told: Told, more: Floats) -> tuple[float, float]:
    said = expected(case, belief, told, (more[0], more[1]))
    return said.seconds, said.joules


def _sum(parts: list[tuple[Forecast, float]], which: int) -> Range:
    """Each direction moves all cases of one belief together, and what is one unknown in several
    beliefs the cases of all of them; what that does to the logarithm of the sum, up and down, adds
    up in squares with that of the others. What is left when the factors are known is taken as
    shared by the cases of one belief, and so is what measured points leave of own factors.
    """
    total = sum(value for _, value in parts)
    if not total:
        return Range(0.0, 0.0, 0.0)
    groups: dict[int, list[tuple[Forecast, float]]] = {}
    for each, value in parts:
        groups.setdefault(id(each.belief), []).append((each, value))
    rest, shifts = 0.0, defaultdict[Hashable, Floats](lambda: np.zeros(2))
    for group in groups.values():
        own = sum(value for _, value in group)
        moved = np.sum([each.moved[..., which] for each, _ in group], axis=0) - own
        rest += (QUANTILE * sum(value * each.noise[which] for each, value in group) / total) ** 2
        for direction, shift in zip(group[0][0].unknown, moved.T, strict=True):
            shifts[direction] = shifts[direction] + shift
    effects = np.log1p(np.array(list(shifts.values())) / total)
    up = rest + float(np.sum(effects.max(axis=1).clip(min=0) ** 2))
    down = rest + float(np.sum(effects.min(axis=1).clip(max=0) ** 2))
    return Range(total * float(np.exp(-np.sqrt(down))), total, total * float(np.exp(np.sqrt(up))))


NOTHING = Range(0.0, 0.0, 0.0)


def times(values: Range, factor: float) -> Range:
    """A range in another unit, or so many times as much."""
    return Range(*(value * factor for value in values))


def together(parts: Iterable[Range]) -> Range:
    """What parts that err independently of each other take together: medians add up, distances to
    the ends in squares.
    """
    found = list(parts)
    total = sum(part.median for part in found)
    down = np.sqrt(sum((part.median - part.low) ** 2 for part in found))
    up = np.sqrt(sum((part.high - part.median) ** 2 for part in found))
    return Range(max(total - float(down), 0.0), total, total + float(up))


def end_to_end(parts: Iterable[Range]) -> Range:
    """Parts that err together, one after another: what errs, errs with all of them."""
    return Range(*(sum(values) for values in zip(*parts, strict=True)))


def spread(median: float, sigma: float) -> Range:
    """A log-normal quantity with a standard deviation of its logarithm."""
    factor = float(np.exp(QUANTILE * sigma))
    return Range(median / factor, median, median * factor)


def product(values: Range, factor: Range) -> Range:
    """A range times a positive factor that errs independently of it."""
    if not values.low > 0:
        return Range(0.0, values.median * factor.median, values.high * factor.high)
    down = np.hypot(np.log(values.median / values.low), np.log(factor.median / factor.low))
    up = np.hypot(np.log(values.high / values.median), np.log(factor.high / factor.median))
    median = values.median * factor.median
    return Range(median * float(np.exp(-down)), median, median * float(np.exp(up)))
