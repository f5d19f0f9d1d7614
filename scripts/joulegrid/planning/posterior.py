"""What measured rows teach about the factors: a least-squares fit with the priors as further
residuals.

With θ the logarithms of the factors, θ₀ and S their prior, and y the logarithms of measured seconds
and joules, the fit minimizes

    Σ ((y − f(θ)) / σ)² + Σ ((θ − θ₀) / s)²

by Levenberg–Marquardt (Moré 1978; scipy's `least_squares`), and the inverse of JᵀJ at its end is
the covariance of θ (Laplace's approximation). One row therefore moves the factors that explain it,
each as far as its spread allows, and can do no harm to what it says nothing of.

Beside the factors that all share, a model has some of its own (own.py): they are parameters of the
fit at every measured point. σ is what remains.

Rows of one site, version of an engine and kernel are fitted together, and used for these alone:
factors fitted at one laboratory predict another one worse than the defaults do (docs/planning.md).
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from scipy.linalg import block_diag
from scipy.optimize import least_squares

from joulegrid.planning import own
from joulegrid.planning.architecture import Architecture
from joulegrid.planning.factors import priors
from joulegrid.planning.formats import Format
from joulegrid.planning.own import Floats, Own, Point, Told
from joulegrid.planning.prediction import (
    Machine,
    Prediction,
    Workload,
    looked_back_on,
    predict,
)

# What remains of seconds and joules when all factors are known: σ of logarithms
NOISE = {"dense": (0.06, 0.06), "experts": (0.09, 0.08), "hybrid": (0.09, 0.08)}
STEP = 1e-4  # of the logarithm of a factor, for derivatives
NO_MORE = (0.0, 0.0)
NOWHERE = Own()


class Case(NamedTuple):
    """Something to be run: what, with which weights, on what."""

    work: Workload
    model: Architecture
    form: Format
    machine: Machine

    @property
    def point(self) -> Point:
        """Where its own factors are."""
        places = self.work.at_once, looked_back_on(self.work)
        return Point(self.model, self.machine, *np.log(places).tolist())


class Row(NamedTuple):
    """Something that was run: s, and J of the GPUs; None where it was not measured."""

    case: Case
    seconds: float | None
    joules: float | None


@dataclass(frozen=True)
class Belief:
    """What is believed of the factors: normal in their logarithms.

    Parameters
    ----------
    names
        of the factors.
    log
        means of their logarithms, in the order of `names`; behind them, at each point of `own`,
        how slow the model is and how much it draws.
    covariance
        of the logarithms.
    rows
        how many measured rows it rests on; 0: the defaults.
    own
        where rows were measured.
    off
        by which share seconds and joules are off of each measured cell where the others predict it,
        the median; None where that is not known.
    """

    names: tuple[str, ...]
    log: Floats
    covariance: Floats
    rows: int = 0
    own: Own = NOWHERE
    off: tuple[float | None, float | None] = (None, None)

    @property
    def factors(self) -> dict[str, float]:
        """The median of every factor that all share."""
        return dict(zip(self.names, np.exp(self.log[: len(self.names)]).tolist(), strict=True))


def defaults(machine: Machine, kernel: str) -> Belief:
    """The priors of a machine with a kernel."""
    known = priors(machine.engine, machine.version, kernel, machine.device)
    means = np.array([prior.mean for prior in known.values()])
    spreads = np.array([prior.spread for prior in known.values()])
    return Belief(tuple(known), np.log(means), np.diag(spreads**2))


def own_of(case: Case, belief: Belief) -> Told:
    """What measured points tell of the own factors of a case."""
    return belief.own.told(case.point)


def expected(
    case: Case, belief: Belief, told: Told | None = None, beyond: tuple[float, float] = NO_MORE
) -> Prediction:
    """The prediction with the medians of the factors.

    Parameters
    ----------
    told
        `own_of` the case, where that is known already.
    beyond
        logarithms: how much slower the model is than that, and how much more it draws.
    """
    places, weights, _ = told or own_of(case, belief)
    first = len(belief.names)
    slow, draw = (
        math.exp(more + sum(weights * belief.log[[first + 2 * place + i for place in places]]))
        for i, more in enumerate(beyond)
    )
    factors = belief.factors
    said = predict(*case, {**factors, "slowness": slow * factors["slowness"]})
    return said._replace(joules=draw * said.joules)


def noise(model: Architecture) -> tuple[float, float]:
    """What remains of seconds and joules when the factors are known (σ of logarithms)."""
    return NOISE[own.kind(model)]


def with_own(belief: Belief, cases: Iterable[Case]) -> Belief:
    """The defaults, and the own factors of some cases of which nothing was measured."""
    points = own.at_points(case.point for case in cases)
    return replace(
        belief,
        log=np.concatenate([belief.log, np.zeros(2 * len(points.points))]),
        covariance=block_diag(belief.covariance, points.covariance),
        own=points,
    )


def slopes(case: Case, belief: Belief) -> Floats:
    """Derivatives of log seconds and log joules by the logarithms of the factors, 2 × factors."""
    found, told, shared = np.zeros((2, len(belief.log))), own_of(case, belief), len(belief.names)
    middle = _logs(case, belief, told)
    for place in range(shared):
        moved = belief.log.copy()
        moved[place] += STEP
        found[:, place] = (_logs(case, replace(belief, log=moved), told) - middle) / STEP
    for i, beyond in enumerate(((STEP, 0.0), (0.0, STEP))):
        by_own = (_logs(case, belief, told, beyond) - middle) / STEP
        for place, weight in zip(told.places, told.weights, strict=True):
            found[:, shared + 2 * place + i] = weight * by_own
    return found


def fit(rows: Sequence[Row], before: Belief) -> Belief:
    """The belief after some rows of one site, version of an engine and kernel, on the defaults.

    Rows without seconds or joules count with what they have. Without any row, `before`.
    """
    if not rows:
        return before
    start = with_own(before, [row.case for row in rows])
    root = np.linalg.cholesky(np.linalg.inv(start.covariance)).T

    def residuals(log: Floats) -> Floats:
        misfits = np.concatenate(_misfits(rows, replace(start, log=log)))
        return np.concatenate([misfits, root @ (log - start.log)])

    def jacobian(log: Floats) -> Floats:
        pulls = np.concatenate(_sensitivities(rows, replace(start, log=log)))
        return np.concatenate([-pulls, root])

    found = least_squares(residuals, start.log, jacobian, method="lm", x_scale="jac")
    covariance = np.linalg.inv(found.jac.T @ found.jac)
    return replace(start, log=found.x, covariance=covariance, rows=before.rows + len(rows))


def leave_one_out(parts: Sequence[Sequence[Row]], belief: Belief) -> Floats:
    """What rows would have been predicted to be without those of their own part: measured over
    predicted seconds and joules, rows × 2, NaN where not measured.

    `belief` is that after all rows. Nothing is fitted again: what a part has moved is taken back as
    in a linear model, where that is exact (Cook 1977, *Detection of influential observation in
    linear regression*).
    """
    found: list[Floats] = [np.empty((0, 2))]
    for rows in parts:
        misfits = np.concatenate(_misfits(rows, belief))
        pulls = np.concatenate(_sensitivities(rows, belief))
        leverage = pulls @ belief.covariance @ pulls.T
        there = np.array([_measured(row) for row in rows])
        sigmas = np.array([noise(row.case.model) for row in rows])[there]
        ratios = np.full(there.shape, np.nan)
        ratios[there] = np.exp(sigmas * np.linalg.solve(np.eye(len(misfits)) - leverage, misfits))
        found.append(ratios)
    return np.concatenate(found)


def _measured(row: Row) -> list[bool]:
    return [row.seconds is not None, row.joules is not None]


def _misfits(rows: Sequence[Row], belief: Belief) -> list[Floats]:
    """(log measured − log predicted) / σ of what was measured, row by row."""
    found = []
    for row in rows:
        there = _measured(row)
        values = np.log([value for value in row[1:] if value is not None])
        said, sigma = _logs(row.case, belief)[there], np.array(noise(row.case.model))[there]
        found.append((values - said) / sigma)
    return found


def _sensitivities(rows: Sequence[Row], belief: Belief) -> list[Floats]:
    """Derivatives of what `_misfits` subtracts, by the logarithms of the factors."""
    return [
        (slopes(row.case, belief) / np.array(noise(row.case.model))[:, None])[_measured(row)]
        for row in rows
    ]


def _logs(
    case: Case, belief: Belief, told: Told | None = None, beyond: tuple[float, float] = NO_MORE
) -> Floats:
    said = expected(case, belief, told, beyond)
    return np.log([said.seconds, said.joules])
