"""What measured rows teach about the factors: a least-squares fit with the priors as further
residuals.

With θ the logarithms of the factors, θ₀ and S their prior, and y the logarithms of measured seconds
and joules, the fit minimizes

    Σ ((y − f(θ)) / σ)² + Σ ((θ − θ₀) / s)²

by Levenberg–Marquardt (Moré 1978; scipy's `least_squares`), and the inverse of JᵀJ at its end is
the covariance of θ (Laplace's approximation). σ is what remains between rows of one laboratory when
everything is fitted. One row therefore moves the factors that explain it, each as far as its spread
allows, and can do no harm to what it says nothing of.

Rows of one site, version of an engine and kernel are fitted together, and used for these alone:
factors fitted at one laboratory predict another one worse than the defaults do (docs/planning.md).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares

from joulegrid.planning.architecture import Architecture
from joulegrid.planning.factors import priors
from joulegrid.planning.formats import Format
from joulegrid.planning.prediction import Machine, Prediction, Workload, predict

# What remains of seconds and joules within a laboratory, as standard deviations of logarithms
NOISE = {"dense": (0.15, 0.12), "experts": (0.20, 0.25), "hybrid": (0.20, 0.25)}
STEP = 1e-4  # of the logarithm of a factor, for derivatives


class Case(NamedTuple):
    """Something to be run: what, with which weights, on what."""

    work: Workload
    model: Architecture
    form: Format
    machine: Machine


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
        means of their logarithms, in the order of `names`.
    covariance
        of the logarithms.
    rows
        how many measured rows it rests on; 0: the defaults.
    off
        by which share seconds and joules are off of each measured cell where the others predict it,
        the median; None where that is not known.
    """

    names: tuple[str, ...]
    log: NDArray[np.float64]
    covariance: NDArray[np.float64]
    rows: int = 0
    off: tuple[float | None, float | None] = (None, None)

    @property
    def factors(self) -> dict[str, float]:
        """The median of every factor."""
        return dict(zip(self.names, np.exp(self.log).tolist(), strict=True))


def defaults(machine: Machine, kernel: str) -> Belief:
    """The priors of a machine with a kernel."""
    known = priors(machine.engine, machine.version, kernel, machine.device)
    means = np.array([prior.mean for prior in known.values()])
    spreads = np.array([prior.spread for prior in known.values()])
    return Belief(tuple(known), np.log(means), np.diag(spreads**2))


def expected(case: Case, belief: Belief) -> Prediction:
    """The prediction with the medians of the factors."""
    return predict(*case, belief.factors)


def noise(model: Architecture) -> tuple[float, float]:
    """What remains of seconds and joules when the factors are known (σ of logarithms)."""
    kind = "experts" if model.experts else "hybrid" if model.state_bytes else "dense"
    return NOISE[kind]


def slopes(case: Case, belief: Belief) -> NDArray[np.float64]:
    """Derivatives of log seconds and log joules by the logarithms of the factors, 2 × factors."""
    return _derivatives(case, belief.names, belief.log)


def fit(rows: Sequence[Row], before: Belief) -> Belief:
    """The belief after some rows of one site, version of an engine and kernel.

    Rows without seconds or joules count with what they have. Without any row, `before`.
    """
    if not rows:
        return before
    root = np.linalg.cholesky(np.linalg.inv(before.covariance)).T

    def residuals(log: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.concatenate([_misfits(rows, before.names, log), root @ (log - before.log)])

    def jacobian(log: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.concatenate([-_sensitivities(rows, before.names, log), root])

    found = least_squares(residuals, before.log, jacobian, method="lm", x_scale="jac")
    covariance = np.linalg.inv(found.jac.T @ found.jac)
    return Belief(before.names, found.x, covariance, before.rows + len(rows))


def leave_one_out(parts: Sequence[Sequence[Row]], belief: Belief) -> NDArray[np.float64]:
    """What rows would have been predicted to be without those of their own part: measured over
    predicted seconds and joules, rows × 2, NaN where not measured.

    `belief` is that after all rows. Nothing is fitted again: what a part has moved is taken back as
    in a linear model, where that is exact (Cook 1977, *Detection of influential observation in
    linear regression*).
    """
    found: list[NDArray[np.float64]] = [np.empty((0, 2))]
    for rows in parts:
        misfits = _misfits(rows, belief.names, belief.log)
        pulls = _sensitivities(rows, belief.names, belief.log)
        leverage = pulls @ belief.covariance @ pulls.T
        there = np.array([_measured(row) for row in rows])
        sigmas = np.array([noise(row.case.model) for row in rows])[there]
        ratios = np.full(there.shape, np.nan)
        ratios[there] = np.exp(sigmas * np.linalg.solve(np.eye(len(misfits)) - leverage, misfits))
        found.append(ratios)
    return np.concatenate(found)


def _measured(row: Row) -> list[bool]:
    return [row.seconds is not None, row.joules is not None]


def _ratios(row: Row, said: Prediction) -> list[float]:
    return [
        np.nan if measured is None else measured / predicted
        for measured, predicted in ((row.seconds, said.seconds), (row.joules, said.joules))
    ]


def _misfits(
    rows: Sequence[Row], names: tuple[str, ...], log: NDArray[np.float64]
) -> NDArray[np.float64]:
    """(log measured − log predicted) / σ of everything that was measured."""
    factors = dict(zip(names, np.exp(log).tolist(), strict=True))
    found = [
        np.log(_ratios(row, predict(*row.case, factors))) / noise(row.case.model) for row in rows
    ]
    flat = np.concatenate(found)
    return flat[~np.isnan(flat)]


def _sensitivities(
    rows: Sequence[Row], names: tuple[str, ...], log: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Derivatives of what `_misfits` subtracts, by the logarithms of the factors."""
    found = []
    for row in rows:
        slope = _derivatives(row.case, names, log) / np.array(noise(row.case.model))[:, None]
        found.append(slope[_measured(row)])
    return np.concatenate(found)


def _derivatives(
    case: Case, names: tuple[str, ...], log: NDArray[np.float64]
) -> NDArray[np.float64]:
    middle = _logs(case, names, log)
    columns = []
    for i in range(len(names)):
        moved = log.copy()
        moved[i] += STEP
        columns.append((_logs(case, names, moved) - middle) / STEP)
    return np.stack(columns, axis=1)


def _logs(case: Case, names: tuple[str, ...], log: NDArray[np.float64]) -> NDArray[np.float64]:
    said = predict(*case, dict(zip(names, np.exp(log).tolist(), strict=True)))
    return np.log([said.seconds, said.joules])
