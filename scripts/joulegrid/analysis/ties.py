"""Ranks by sessions, which cells share that sessions and samples cannot tell apart."""

from functools import cache
from itertools import pairwise
from math import hypot, isfinite, sqrt
from typing import NamedTuple

import numpy as np
from scipy import special

from joulegrid.analysis.statistics import CONFIDENCE, UPPER

# Cells up to which the studentized range is integrated
MANY_CELLS = 50


def ranks(
    scores: np.ndarray,
    board: np.ndarray,
    drawn: np.ndarray | None = None,
    freedom: np.ndarray | None = None,
) -> np.ndarray:
    """Ranks by mean score, shared by neighbours that sessions and samples cannot tell apart.

    From the best downwards, a cell shares the rank of the best one above it that is not better for
    sure; otherwise its rank is its place. For sure is: by Student's t of both at 95 %, and by
    Tukey's honest significant difference of all cells together, since of many pairs of twins some
    always differ. Two cells without two sessions to compare are held to Tukey's alone, by what the
    sessions of other cells tell; where no cell has two, the score alone decides, but for what
    samples of quality hold back.

    Parameters
    ----------
    scores
        shape (sessions, cells); more is better; NaN where there is none.
    board
        on what each ran, same shape: sessions of two cells are compared in pairs if they ran on
        the same.
    drawn, freedom
        what quality adds to the scores over resamples of its samples, shape (draws, cells), and the
        degrees of freedom of its spread (cells,); NaN where that is not known.
    """
    found = np.full(scores.shape[1], np.nan)
    means, known = _means(scores)
    least = honest_difference(scores[:, known], board[:, known])
    quality = _Quality(drawn, freedom, known) if drawn is not None and known.size > 1 else None
    there = np.isfinite(scores)
    sessions = int(there.any(axis=1).sum())
    whole = there.sum(axis=0) == sessions

    def better(leader: int, cell: int) -> bool:
        apart = means[leader] - means[cell]
        if whole[leader] and whole[cell] and apart <= least / sqrt(sessions):
            return False  # as most neighbours; what follows takes longer
        return _is_better(
            _difference(scores[:, [leader, cell]], board[:, [leader, cell]]),
            least,
            quality.margins(leader, cell) if quality else (0.0, 0.0),
        )

    leader, rank = None, 1
    for place, cell in enumerate(known[np.argsort(-means[known], kind="stable")], 1):
        if leader is None or better(leader, cell):
            leader, rank = cell, place
        found[cell] = rank
    return found


def beats_next(
    scores: np.ndarray, board: np.ndarray, drawn: np.ndarray, freedom: np.ndarray
) -> np.ndarray:
    """Probability of each cell to be better than the one that comes next by mean score: Student's t
    of both alone, by sessions and samples. NaN of the last one, and of cells without two sessions.

    Parameters
    ----------
    scores, board, drawn, freedom
        see `ranks`.
    """
    found = np.full(scores.shape[1], np.nan)
    means, known = _means(scores)
    quality = _Quality(drawn, freedom, known) if known.size > 1 else None
    for pair in pairwise(known[np.argsort(-means[known], kind="stable")].tolist()):
        apart = _difference(scores[:, pair], board[:, pair])
        error = quality.error(*pair) if quality else 0.0
        if apart.freedom:
            found[pair[0]] = _above_zero(apart, error, quality.freedom if quality else 0)
    return found


def _means(scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean score of each cell over its sessions, and the cells that have one."""
    known = np.flatnonzero(np.isfinite(scores).any(axis=0))
    means = np.full(scores.shape[1], np.nan)
    means[known] = np.nanmean(scores[:, known], axis=0)
    return means, known


def _above_zero(apart: "_Difference", quality: float, freedom: int) -> float:
    """Probability that a difference is above 0, to which samples of quality add an error with such
    degrees of freedom (Welch and Satterthwaite).
    """
    variance = apart.variance + quality**2
    if variance == 0:
        return 0.5 if apart.mean == 0 else 1.0
    parts = apart.variance**2 / apart.freedom + (quality**4 / freedom if quality else 0.0)
    return float(special.stdtr(variance**2 / parts, apart.mean / sqrt(variance)))


class _Quality:
    """By how much the scores of two cells may differ through their samples of quality alone."""

    def __init__(self, drawn: np.ndarray, freedom: np.ndarray | None, known: np.ndarray):
        self.drawn = drawn
        of_cells = np.full(drawn.shape[1], np.nan) if freedom is None else freedom
        least = of_cells[known][np.isfinite(of_cells[known])]
        self.freedom = int(least.min()) if least.size else 0
        self.of_many = _tukey(known.size, self.freedom) / sqrt(2) if self.freedom else 0.0

    def margins(self, one: int, other: int) -> tuple[float, float]:
        """Tukey's for all cells, and Student's t for these two; 0 where nothing is known."""
        error = self.error(one, other)
        return self.of_many * error, _quantile(self.freedom) * error if error else 0.0

    def error(self, one: int, other: int) -> float:
        """Standard error of the difference of two cells; 0 where nothing is known."""
        if not self.freedom:
            return 0.0
        error = float(np.std(self.drawn[:, one] - self.drawn[:, other]))
        # resamples spread too little
        return error * sqrt((self.freedom + 1) / self.freedom) if isfinite(error) else 0.0


def honest_difference(scores: np.ndarray, board: np.ndarray) -> float:
    """By how much two of these cells, of one session each, must differ for the difference not to be
    one that some pair of so many twins shows (5 %, Tukey); 0 where no cell has two sessions. Means
    over n and m sessions must differ by sqrt((1/n + 1/m) / 2) of it (Kramer).

    Where all cells ran on one board in each session, what a session does to all of them is taken
    out. What a session does and how far cells spread are medians over cells (of two the mean), so
    that one restless cell does not hide what the others differ by. A cell that lacks a session
    counts by those that it has.

    Parameters
    ----------
    scores, board
        shape (sessions, cells), see `ranks`.
    """
    repeated = np.isfinite(scores).sum(axis=0) > 1
    values = scores[:, repeated]
    values = values[np.isfinite(values).any(axis=1)]
    if not values.size:
        return 0.0
    alone = np.isfinite(values).sum(axis=0) - 1  # degrees of freedom of each cell
    freedom = int(alone.sum()) - (len(values) - 1)
    if freedom > 0 and _on_one_board(scores, board):
        left = _without_sessions(values)
    else:
        left, freedom = values - np.nanmean(values, axis=0), int(alone.sum())
    squares = np.nansum(left**2, axis=0)
    each = alone * freedom / alone.sum()
    few = len(each) <= 2
    spread = squares.sum() / freedom if few else np.median(squares / _chi_square_median(each))
    return _tukey(max(scores.shape[1], 2), freedom) * sqrt(spread)


def _on_one_board(scores: np.ndarray, board: np.ndarray) -> bool:
    """Whether in each session all cells ran on the same."""
    there = np.isfinite(scores)
    return all(len(set(names[found])) <= 1 for names, found in zip(board, there, strict=True))


def _without_sessions(values: np.ndarray) -> np.ndarray:
    """What is left of `values`, shape (sessions, cells), without the mean of each cell and what
    each session does to all of them, a median over cells.

    Where every cell has all sessions the first step is exact; where not, the mean of a cell holds
    what its own sessions did, which the next steps take out.
    """
    shared = np.zeros((len(values), 1))
    for _ in range(1 if np.isfinite(values).all() else 20):
        cells = np.nanmean(values - shared, axis=0)
        shared = np.nanmedian(values - cells, axis=1, keepdims=True)
    return values - cells - shared


def _chi_square_median(freedom: np.ndarray) -> np.ndarray:
    return 2 * special.gammaincinv(freedom / 2, 0.5)


@cache
def _tukey(cells: int, freedom: int) -> float:
    """The 95 % quantile of the studentized range; of many cells Bonferroni's bound of it, which is
    a few percent above and takes no integration.
    """
    if cells <= MANY_CELLS:
        from scipy import stats  # half a second; merging and large studies do without it

        return float(stats.studentized_range.ppf(CONFIDENCE, cells, freedom))
    return -float(np.sqrt(2) * special.stdtrit(freedom, (1 - CONFIDENCE) / (cells * (cells - 1))))


class _Difference(NamedTuple):
    """Of the mean scores of two cells: its squared standard error and degrees of freedom, and the
    share of `honest_difference` that so many sessions have.
    """

    mean: float
    variance: float
    freedom: int
    share: float


def _difference(scores: np.ndarray, board: np.ndarray) -> _Difference:
    """By how much the first of two cells is better; in plain Python, since it is asked for every
    cell, and arrays of three numbers are slow.

    Parameters
    ----------
    scores, board
        of the two cells, see `ranks`.
    """
    rows = list(zip(scores.tolist(), board.tolist(), strict=True))
    both = [(a - b, on == other) for (a, b), (on, other) in rows if isfinite(a) and isfinite(b)]
    if both and all(paired for _, paired in both):
        pairs = [difference for difference, _ in both]
        return _Difference(*_moments(pairs), sqrt(1 / len(pairs)))
    one, other = ([v for v in values if isfinite(v)] for values in scores.T.tolist())
    (a_mean, a, a_freedom), (b_mean, b, b_freedom) = _moments(one), _moments(other)
    parts = sum(v**2 / f for v, f in ((a, a_freedom), (b, b_freedom)) if f)
    freedom = int((a + b) ** 2 / parts) if parts else a_freedom
    share = sqrt((1 / len(one) + 1 / len(other)) / 2)
    return _Difference(a_mean - b_mean, a + b, freedom, share)


def _is_better(found: _Difference, least: float, quality: tuple[float, float]) -> bool:
    """Whether a difference is one for sure.

    Parameters
    ----------
    least
        `honest_difference` of all cells.
    quality
        what samples of quality may make, of all cells and of these two.
    """
    of_many, of_two = quality
    margin = _quantile(found.freedom) * sqrt(found.variance) if found.freedom else 0.0
    # what two sums of the same numbers differ by in the last digits is no difference
    return found.mean > max(hypot(least * found.share, of_many), hypot(margin, of_two), 1e-12)


def _moments(values: list[float]) -> tuple[float, float, int]:
    """Mean, its squared standard error and degrees of freedom; 0 of both for one value."""
    mean, freedom = sum(values) / len(values), len(values) - 1
    square = sum((value - mean) ** 2 for value in values)
    return mean, square / freedom / len(values) if freedom else 0.0, freedom


@cache
def _quantile(freedom: int) -> float:
    return float(special.stdtrit(freedom, UPPER))
