"""Means and intervals over sessions."""

import numpy as np
import xarray as xr
from scipy import stats


def per_token(energy: xr.Dataset) -> xr.DataArray:
    """Energy per generated token of every session, all components together, in J."""
    return energy.energy.sum("component", skipna=False) / energy.tokens_written


def mean_over_sessions(values: xr.DataArray) -> xr.Dataset:
    """Mean and 95 % interval over sessions, which are replicates; those without a value are left
    out.

    Returns
    -------
    `mean` and `half_width` (of mean ± half_width, Student's t), in the units of `values`; with one
    session there is no
    interval (NaN).
    """
    count = values.notnull().sum("session")
    quantile = xr.apply_ufunc(lambda n: stats.t.ppf(0.975, np.maximum(n - 1, 1)), count)
    half = (quantile * values.std("session", ddof=1) / np.sqrt(count)).where(count > 1)
    return xr.Dataset({"mean": values.mean("session"), "half_width": half})
