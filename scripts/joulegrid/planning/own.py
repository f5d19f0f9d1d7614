"""What a model has of its own: how slow it is and how much it draws, beside what all models on a
machine share.

Rows of one model err alike, the more so the more alike what is asked of it: the shapes of its
kernels, its size on so many boards. Its own factors therefore change slowly with the sequences in
flight and with their length: a Gaussian process over the logarithms of both (Kennedy and O'Hagan
2001, *Bayesian calibration of computer models*, section 4, call it the discrepancy). At measured
points they are parameters of the fit; elsewhere they are what these points tell of them (simple
kriging; Rasmussen and Williams 2006, *Gaussian Processes for Machine Learning*, section 2.2).
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from joulegrid.planning.architecture import Architecture
from joulegrid.planning.prediction import Machine

# Spread of how slow a model is and of how much it draws: standard deviations of logarithms
SPREAD = {"dense": (0.16, 0.09), "experts": (0.25, 0.20), "hybrid": (0.25, 0.20)}
# Logarithms of sequences and of lengths over which both change, 2 is a factor of seven; below the
# second number two points are one
SCALE, SAME = 2.0, 0.1
# Of the variance, what is of one point alone: without any, near points are not solvable
REST = 1e-4

Floats = NDArray[np.float64]


class Point(NamedTuple):
    """Where a model has factors of its own: on which boards, and the logarithms of the sequences in
    flight and of the tokens of one.
    """

    model: Architecture
    machine: Machine
    sequences: float
    length: float

    @property
    def at(self) -> Floats:
        """Where it is among those of its model on its boards."""
        return np.array([self.sequences, self.length])


class Told(NamedTuple):
    """What some points tell of another one: which of them, with which weights, and the share of the
    variance that they leave.
    """

    places: list[int]
    weights: Floats
    left: float


class Block(NamedTuple):
    """The points of one model on the same boards: their places among all, where they are (points
    × 2), and how what they deviate by is correlated.
    """

    places: list[int]
    at: Floats
    alike: Floats
    inverse: Floats


@dataclass(frozen=True)
class Own:
    """Points where models have factors of their own."""

    points: tuple[Point, ...] = ()

    @cached_property
    def blocks(self) -> dict[tuple[Architecture, Machine], Block]:
        """Those of each model on the same boards: what they deviate by is correlated."""
        members: dict[tuple[Architecture, Machine], list[int]] = {}
        for place, point in enumerate(self.points):
            members.setdefault((point.model, point.machine), []).append(place)
        found = {}
        for key, places in members.items():
            at = np.stack([self.points[place].at for place in places])
            alike = _likeness(at[:, None], at) + REST * np.eye(len(at))
            inverse = np.asarray(np.linalg.inv(alike), dtype=np.float64)
            found[key] = Block(places, at, alike, inverse)
        return found

    def told(self, here: Point) -> Told:
        """What they tell of the factors at `here`: those of the same model and boards do."""
        block = self.blocks.get((here.model, here.machine)) if self.points else None
        if block is None:
            return Told([], np.zeros(0), 1.0)
        near = _likeness(here.at, block.at)
        weights = block.inverse @ near
        return Told(block.places, weights, max(1.0 - float(weights @ near), 0.0))

    @property
    def covariance(self) -> Floats:
        """Before anything was measured: of each point how slow the model is, how much it draws."""
        found = np.zeros((len(self.points), 2, len(self.points), 2))
        for (model, _), block in self.blocks.items():
            for which, sigma in enumerate(spread(model)):
                found[np.ix_(block.places, [which], block.places, [which])] = (
                    sigma**2 * block.alike[:, None, :, None]
                )
        return found.reshape(2 * len(self.points), 2 * len(self.points))


def kind(model: Architecture) -> str:
    """Dense, with experts, or a hybrid with Mamba."""
    return "experts" if model.experts else "hybrid" if model.state_bytes else "dense"


def spread(model: Architecture) -> tuple[float, float]:
    """σ of the logarithms of a model's own factors before anything of it was measured."""
    return SPREAD[kind(model)]


def at_points(points: Iterable[Point]) -> Own:
    """At these points, but of some that are nearly the same at the first alone."""
    found: dict[tuple[Architecture, Machine], list[Point]] = {}
    for point in points:
        others = found.setdefault((point.model, point.machine), [])
        if all(math.dist(point[2:], other[2:]) >= SAME for other in others):
            others.append(point)
    return Own(tuple(point for others in found.values() for point in others))


def _likeness(one: Floats, other: Floats) -> Floats:
    """The correlation of what two points deviate by."""
    return np.exp(-np.sum(np.square((one - other) / SCALE), axis=-1) / 2)
