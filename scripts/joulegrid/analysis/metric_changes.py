"""The group changes: every metric against the baseline's on the same samples, and whether the
difference can be told from none.
"""

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
    pairs = relative.paired(tree, baseline, metrics)
    better = pairs.value - pairs.base
    drawn = pairs.drawn - pairs.drawn_base
    difference_ci, change_ci = (
        samples.half_width(samples.error_of(each, pairs.freedom), pairs.freedom)
        for each in (drawn, pairs.drawn_changes())
    )
    verdict = xr.where(abs(better) > difference_ci, np.sign(better) + SAME, SAME)
    found = {
        # turned back: a perplexity that rose has a difference above 0
        "difference": relative.better_is_more(better, quality, metrics),
        "difference_ci95": difference_ci,
        "change": pairs.changes(),
        "change_ci95": change_ci,
        "verdict": verdict.where(difference_ci.notnull(), UNKNOWN).astype("i1"),
        "samples": pairs.shared,
        "notes": _notes(pairs),
    }
    order = (*CONFIGURATION_AXES, "metric")
    return xr.Dataset(
        {name: variable.described(found[name], *order) for name, variable in CHANGES.items()},
        coords={axis: quality[axis].values for axis in order},
    )


def _notes(pairs: relative.Paired) -> xr.DataArray:
    """What a reader must know of comparisons on fewer samples than one of both has, in words."""
    found = xr.full_like(pairs.fewer, "", dtype=object)
    names = pairs.fewer.metric.values
    position = pairs.fewer.dims.index("metric")
    for index in zip(*np.nonzero(pairs.fewer.values), strict=True):
        task, _, name = str(names[index[position]]).rpartition(".")
        shared, of = (int(each.values[index]) for each in (pairs.shared, pairs.of))
        about = f"{task}.{name}, to first order" if name in samples.OF_CORPUS else task
        found.values[index] = (
            f"{about}: compared with the baseline on the {shared} of {of} samples that both have"
        )
    return found
