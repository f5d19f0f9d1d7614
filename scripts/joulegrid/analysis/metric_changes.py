"""The group changes: every metric against the baseline's on the same samples, and whether the
difference can be told from none.
"""

from typing import Any

import numpy as np
import xarray as xr

from joulegrid.analysis import relative, samples
from joulegrid.analysis.concluded import CHANGES, VERDICT
from joulegrid.study.grid import CONFIGURATION_AXES

WORSE, SAME, BETTER, UNKNOWN = range(len(VERDICT))


def account(tree: xr.DataTree, baseline: dict[str, str]) -> xr.Dataset:
    """The variables of `concluded.CHANGES` over the configuration axes and all metrics.

    Parameters
    ----------
    baseline
        axis -> label of the compared axes; those that make no configuration are passed over.
    """
    quality = tree["quality"].to_dataset()
    metrics = [str(name) for name in quality.metric.values]
    own = {axis: label for axis, label in baseline.items() if axis in CONFIGURATION_AXES}
    value = quality.quality
    difference = value - value.sel(own, drop=True)
    valued = relative.better_is_more(value, quality, metrics)
    change = relative.changes(valued, own)
    difference_ci, change_ci = _intervals(tree, quality, metrics, own)
    better = np.sign(valued - valued.sel(own, drop=True))
    told = abs(difference) > difference_ci
    verdict = xr.where(told, better + SAME, SAME).where(difference_ci.notnull(), UNKNOWN)
    found = {
        "difference": difference,
        "difference_ci95": difference_ci,
        "change": change,
        "change_ci95": change_ci,
        "verdict": verdict.astype("i1"),
    }
    order = (*CONFIGURATION_AXES, "metric")
    return xr.Dataset(
        {name: variable.described(found[name], *order) for name, variable in CHANGES.items()},
        coords={axis: quality[axis].values for axis in order},
    )


def _intervals(
    tree: xr.DataTree, quality: xr.Dataset, metrics: list[str], own: dict[str, str]
) -> tuple[Any, Any]:
    """Half widths of the 95 % intervals of difference and change; NaN without samples."""
    drawn = samples.resampled(tree, metrics)
    if drawn is None:
        nothing = quality.quality * np.nan
        return nothing, nothing
    valued = relative.better_is_more(drawn.quality, quality, metrics)
    spread = valued - valued.sel(own, drop=True), relative.changes(valued, own)
    difference, change = (
        samples.half_width(samples.error_of(each, drawn.freedom), drawn.freedom) for each in spread
    )
    return difference, change
