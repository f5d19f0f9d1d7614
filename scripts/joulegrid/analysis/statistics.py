"""Means, differences and ranks over sessions, which are the replicates of a measurement.

With few sessions Student's t is wide: 12.7 standard errors for two, 4.3 for three. That is what two
or three numbers say about a mean.
"""

from functools import cache
from math import hypot, isfinite, sqrt

import numpy as np
import xarray as xr
from scipy import special

CONFIDENCE = 0.95
UPPER = (1 + CONFIDENCE) / 2
# Cells up to which the studentized range is integrated
MANY_CELLS = 50
# Mean, its standard error and degrees of freedom; a squared error and its degrees of freedom
Estimate = tuple[np.ndarray, np.ndarray, np.ndarray]
Variance = tuple[np.ndarray, np.ndarray]


def mean_over_sessions(values: xr.DataArray) -> xr.Dataset:
    """Mean and 95 % interval over sessions; those without a value are left out.

    Returns
    -------
    `mean` and `half_width` (of mean ± half_width, Student's t), in the units of `values`; with one
    session there is no interval (NaN).
    """
    count = values.notnull().sum("session")
    quantile = xr.apply_ufunc(lambda n: special.stdtrit(np.maximum(n - 1, 1), UPPER), count)
    half = (quantile * values.std("session", ddof=1) / np.sqrt(count)).where(count > 1)
    return xr.Dataset({"mean": values.mean("session"), "half_width": half})


def saving(joules: np.ndarray, base: np.ndarray, same: np.ndarray) -> Estimate:
    """The saving 1 − E / E_base, and how sure it is.

    Where a session of the cell and the same session of the baseline ran on one board, they are a
    pair, and what both share falls out; one without the other does not count. Where not, both
    spreads count (Welch; the error of the ratio by the delta method).

    Parameters
    ----------
    joules, base
        shape (sessions, cells) and (sessions, 1) or the same; NaN where there is none.
    same
        whether both ran on the same board, shape of `joules`.

    Returns
    -------
    Its mean, standard error and degrees of freedom; NaN with fewer than two sessions.
    """
    base = np.broadcast_to(base, joules.shape)
    with np.errstate(invalid="ignore", divide="ignore"):
        known = np.isfinite(joules) & np.isfinite(base) & (base != 0)
        change = np.where(known, (base - joules) / np.abs(base), np.nan)
        pairs = np.where(known, base - joules, 0).sum(axis=0)
        pairs = pairs / np.abs(np.where(known, base, 0).sum(axis=0))
        e_mean, e_error, e_freedom = _of_mean(joules)
        b_mean, b_error, b_freedom = _of_mean(base)
        return _paired_or_welch(
            (same | ~known).all(axis=0) & known.any(axis=0),
            (pairs, *_of_mean(change)[1:]),
            (b_mean - e_mean) / np.abs(b_mean),
            ((e_error / b_mean) ** 2, e_freedom),
            ((e_mean * b_error / b_mean**2) ** 2, b_freedom),
        )


def together(
    one: tuple[xr.DataArray, xr.DataArray], other: tuple[xr.DataArray, xr.DataArray]
) -> tuple[xr.DataArray, xr.DataArray]:
    """Standard error and degrees of freedom of the sum of two independent values with such
    (Welch and Satterthwaite); those of the first where both errors are 0.
    """
    variance = one[0] ** 2 + other[0] ** 2
    parts = (error**4 / freedom for error, freedom in (one, other))
    shares = sum(part.where(part > 0, 0) for part in parts)
    return variance**0.5, xr.where(shares > 0, variance**2 / shares, one[1])


def half_width(estimate: Estimate) -> np.ndarray:
    """Of the 95 % interval, mean ± half width."""
    _, error, freedom = estimate
    with np.errstate(invalid="ignore"):
        return special.stdtrit(freedom, UPPER) * error


def probability_above_zero(estimate: Estimate) -> np.ndarray:
    """That the true value is above 0."""
    centre, error, freedom = estimate
    with np.errstate(invalid="ignore", divide="ignore"):
        sure = special.stdtr(freedom, centre / error)
    return np.where(error == 0, (centre > 0) + 0.5 * (centre == 0), sure)


def _of_mean(values: np.ndarray) -> Estimate:
    """Mean, its standard error and the degrees of freedom over axis 0; NaN with fewer than two."""
    count = np.isfinite(values).sum(axis=0)
    enough = np.where(count > 1, count, np.nan)
    mean = np.nansum(values, axis=0) / np.where(count > 0, count, np.nan)
    square = np.nansum((values - mean) ** 2, axis=0)
    return mean, np.sqrt(square / (enough - 1) / enough), enough - 1


def _paired_or_welch(
    paired: np.ndarray, pairs: Estimate, apart: np.ndarray, one: Variance, other: Variance
) -> Estimate:
    """A difference with its standard error and degrees of freedom: of pairs where they are pairs,
    else of two means `apart`, each with its squared error and its degrees of freedom (Welch).
    """
    total = one[0] + other[0]
    welch = total**2 / (one[0] ** 2 / one[1] + other[0] ** 2 / other[1])
    welch = np.where(total > 0, welch, one[1])
    unpaired = apart, np.sqrt(total), welch
    mean, error, freedom = (np.where(paired, *each) for each in zip(pairs, unpaired, strict=True))
    return mean, error, freedom


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
    always differ. Where there are not two sessions to compare, the score alone decides.

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
    known = np.flatnonzero(np.isfinite(scores).any(axis=0))
    means = np.full(scores.shape[1], np.nan)
    means[known] = np.nanmean(scores[:, known], axis=0)
    least = honest_difference(scores[:, known], board[:, known])
    quality = _Quality(drawn, freedom, known) if drawn is not None and known.size > 1 else None
    order = known[np.argsort(-means[known], kind="stable")]
    leader, rank = None, 1
    for place, cell in enumerate(order, 1):
        many, two = quality.margins(leader, cell) if quality and leader is not None else (0.0, 0.0)
        if leader is None or (
            means[leader] - means[cell] > hypot(least, many)
            and _surely_better(scores[:, [leader, cell]], board[:, [leader, cell]], two)
        ):
            leader, rank = cell, place
        found[cell] = rank
    return found


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
        if not self.freedom:
            return 0.0, 0.0
        error = float(np.std(self.drawn[:, one] - self.drawn[:, other]))
        if not isfinite(error):
            return 0.0, 0.0
        error *= sqrt((self.freedom + 1) / self.freedom)  # resamples spread too little
        return self.of_many * error, _quantile(self.freedom) * error


def honest_difference(scores: np.ndarray, board: np.ndarray) -> float:
    """By how much two of these cells must differ for the difference not to be one that some pair of
    so many twins shows (5 %, Tukey); 0 where sessions do not say it.

    Where all cells ran on one board in each session, what a session does to all of them is taken
    out. What a session does and how far cells spread are medians over cells (of two the mean), so
    that one restless cell does not hide what the others differ by.

    Parameters
    ----------
    scores, board
        shape (sessions, cells), see `ranks`.
    """
    whole = np.isfinite(scores).all(axis=0)
    values = scores[:, whole]
    sessions, cells = values.shape
    if sessions < 2 or cells < 2:
        return 0.0
    left = values - values.mean(axis=0)
    freedom = cells * (sessions - 1)
    if (board[:, whole] == board[:, whole][:, :1]).all():
        left = left - np.median(left, axis=1, keepdims=True)
        freedom = (cells - 1) * (sessions - 1)
    each = freedom / cells
    squares = (left**2).sum(axis=0) / each
    spread = np.median(squares) * (1 if cells == 2 else each / _chi_square_median(each))
    return float(_tukey(cells, freedom) * np.sqrt(spread / sessions))


def _chi_square_median(freedom: float) -> float:
    return float(2 * special.gammaincinv(freedom / 2, 0.5))


@cache
def _tukey(cells: int, freedom: int) -> float:
    """The 95 % quantile of the studentized range; of many cells Bonferroni's bound of it, which is
    a few percent above and takes no integration.
    """
    if cells <= MANY_CELLS:
        from scipy import stats  # half a second; merging and large studies do without it

        return float(stats.studentized_range.ppf(CONFIDENCE, cells, freedom))
    return -float(np.sqrt(2) * special.stdtrit(freedom, (1 - CONFIDENCE) / (cells * (cells - 1))))


def _surely_better(scores: np.ndarray, board: np.ndarray, quality: float) -> bool:
    """Whether the sessions of one cell are better than those of another for sure; in plain Python,
    since it is asked for every cell, and arrays of three numbers are slow.

    Parameters
    ----------
    scores, board
        of the two cells, see `ranks`.
    quality
        what their samples of quality may make.
    """
    rows = list(zip(scores.tolist(), board.tolist(), strict=True))
    both = [(a - b, on == other) for (a, b), (on, other) in rows if isfinite(a) and isfinite(b)]
    if both and all(paired for _, paired in both):
        mean, variance, freedom = _moments([difference for difference, _ in both])
    else:
        one, other = ([v for v in values if isfinite(v)] for values in scores.T.tolist())
        (a_mean, a, a_freedom), (b_mean, b, b_freedom) = _moments(one), _moments(other)
        mean, variance = a_mean - b_mean, a + b
        parts = sum(v**2 / f for v, f in ((a, a_freedom), (b, b_freedom)) if f)
        freedom = int(variance**2 / parts) if parts else a_freedom
    margin = _quantile(freedom) * sqrt(variance) if freedom else 0.0
    # what two sums of the same numbers differ by in the last digits is no difference
    return mean > max(hypot(margin, quality), 1e-12)


def _moments(values: list[float]) -> tuple[float, float, int]:
    """Mean, its squared standard error and degrees of freedom; 0 of both for one value."""
    mean, freedom = sum(values) / len(values), len(values) - 1
    square = sum((value - mean) ** 2 for value in values)
    return mean, square / freedom / len(values) if freedom else 0.0, freedom


@cache
def _quantile(freedom: int) -> float:
    return float(special.stdtrit(freedom, UPPER))
