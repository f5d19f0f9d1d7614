"""Means and differences over sessions, which are the replicates of a measurement.

With few sessions Student's t is wide: 12.7 standard errors for two, 4.3 for three. That is what two
or three numbers say about a mean.
"""

import numpy as np
import xarray as xr
from scipy import special

CONFIDENCE = 0.95
UPPER = (1 + CONFIDENCE) / 2
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
