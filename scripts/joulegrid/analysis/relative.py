"""Changes of quality against the baseline, relative and for the better, with what is known of them
sample by sample.
"""

from typing import Any

import numpy as np
import xarray as xr

from joulegrid.analysis import normalisation, samples
from joulegrid.study.grid import CONFIGURATION_AXES


def relative_change(value: xr.DataArray, base: xr.DataArray) -> xr.DataArray:
    """(value − base) / |base|; NaN where the base is 0 and nothing is relative to it."""
    return (value - base) / abs(base).where(base != 0)


def relative_quality(
    quality: xr.Dataset, baseline: dict[str, str], metrics: list[str]
) -> xr.DataArray:
    """ρ, the mean over `metrics` of the relative change for the better against the baseline.

    NaN where one of the metrics is missing: a mean over fewer metrics could not be compared.
    """
    return metric_changes(quality, baseline, metrics).mean("metric", skipna=False)


def metric_changes(
    quality: xr.Dataset, baseline: dict[str, str], metrics: list[str]
) -> xr.DataArray:
    """The relative change of each metric for the better against the baseline."""
    return changes(better_is_more(quality.quality, quality, metrics), baseline)


def changes(valued: xr.DataArray, baseline: dict[str, str]) -> xr.DataArray:
    """The relative change of values of which more is better against the baseline."""
    own = {axis: label for axis, label in baseline.items() if axis in CONFIGURATION_AXES}
    return relative_change(valued, valued.sel(own, drop=True))


def better_is_more(values: xr.DataArray, quality: xr.Dataset, metrics: list[str]) -> xr.DataArray:
    """Values of each metric, with their sign turned where lower is better."""
    chosen = values.sel(metric=metrics)
    return xr.where(quality.direction.sel(metric=metrics) == 1, chosen, -chosen)


def resampled_quality(tree: xr.DataTree, metrics: list[str]) -> tuple[xr.DataArray, xr.DataArray]:
    """Every metric, more is better, over resamples of the samples behind it, and the degrees of
    freedom of their spread: those of the metric with the fewest samples. NaN where a metric has
    none.
    """
    quality = tree["quality"].to_dataset()
    found = samples.resampled(tree, metrics)
    if found is None:
        nothing = quality.quality.sel(metric=metrics) * np.nan
        return nothing.expand_dims(draw=1), nothing.sum("metric") * np.nan
    valued = better_is_more(found.quality, quality, metrics)
    return valued, found.freedom.min("metric", skipna=False)


def drawn_term(
    chosen: dict[str, Any], drawn: xr.DataArray, rho: xr.DataArray, here: xr.DataArray
) -> xr.DataArray:
    """What quality adds to R over resamples.

    Parameters
    ----------
    drawn, rho
        the metrics and ρ over resamples.
    here
        the metrics of the cells that have a score.
    """
    if chosen["normalisation"] == normalisation.RELATIVE:
        return rho
    return normalisation.quality_share(drawn, here, list(chosen["baseline"]))
