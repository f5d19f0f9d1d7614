"""Changes of quality against the baseline, relative and for the better, with what is known of them
sample by sample.
"""

from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from joulegrid.analysis import normalisation, samples
from joulegrid.study.grid import CONFIGURATION_AXES


def relative_change(value: xr.DataArray, base: xr.DataArray) -> xr.DataArray:
    """(value − base) / |base|; NaN where the base is 0 and nothing is relative to it."""
    return (value - base) / abs(base).where(base != 0)


class Paired(NamedTuple):
    """Metrics of configurations and of their baseline on the samples that both have, more is
    better: over configuration axes and `metric`, what is drawn also over `draw`.

    NaN where a metric has no samples: `drawn`, `drawn_base` and `freedom`; `shared` and `of`, how
    many samples both have, and how many either has. `fewer`: where it matters that these differ.
    """

    value: xr.DataArray
    base: xr.DataArray
    drawn: xr.DataArray
    drawn_base: xr.DataArray
    freedom: xr.DataArray
    shared: xr.DataArray
    of: xr.DataArray
    fewer: xr.DataArray

    def changes(self) -> xr.DataArray:
        """The relative change of each metric for the better."""
        return relative_change(self.value, self.base)

    def drawn_changes(self) -> xr.DataArray:
        """It over resamples of the samples."""
        return relative_change(self.drawn, self.drawn_base)

    def rho(self) -> xr.DataArray:
        """ρ, the mean over metrics of the relative change for the better against the baseline.

        NaN where one of the metrics is missing: a mean over fewer metrics could not be compared.
        """
        return self.changes().mean("metric", skipna=False)

    def drawn_rho(self) -> tuple[xr.DataArray, xr.DataArray]:
        """It over resamples, and the degrees of freedom of its spread: those of the metric with the
        fewest samples; NaN where a metric has none.
        """
        changes = self.drawn_changes().mean("metric", skipna=False)
        return changes, self.freedom.min("metric", skipna=False)


def paired(tree: xr.DataTree, baseline: dict[str, str], metrics: list[str]) -> Paired:
    """Metrics of every configuration and of its baseline on the same samples.

    What is not known sample by sample, or by samples that are not the same ones, is compared as a
    whole.
    """
    own = {axis: label for axis, label in baseline.items() if axis in CONFIGURATION_AXES}
    quality = tree["quality"].to_dataset()
    whole = quality.quality.sel(metric=metrics)
    base = whole.sel(own, drop=True).broadcast_like(whole).transpose(*whole.dims)
    found = samples.paired(tree, metrics, own)
    if found is None:
        nothing = whole * np.nan
        found = xr.Dataset(dict.fromkeys(("shared", "of", "value", "base", "freedom"), nothing))
        found = found.assign({n: nothing.expand_dims(draw=1) for n in ("drawn", "drawn_base")})
    found = found.transpose(..., *whole.dims)
    less = found.shared < found.of
    # of verdicts against the baseline, which has its value by definition, the shared ones are all
    same = np.isclose(found.value, whole) & np.isclose(found.base, base)
    values = {
        "value": xr.where(less, found.value, whole),
        "base": xr.where(less, found.base, base),
        "drawn": found.drawn,
        "drawn_base": found.drawn_base,
    }
    better = {n: better_is_more(each, quality, metrics) for n, each in values.items()}
    return Paired(
        **better, **{n: found[n] for n in ("freedom", "shared", "of")}, fewer=less & ~same
    )


def better_is_more(values: xr.DataArray, quality: xr.Dataset, metrics: list[str]) -> xr.DataArray:
    """Values of each metric, with their sign turned where lower is better."""
    chosen = values.sel(metric=metrics)
    return xr.where(quality.direction.sel(metric=metrics) == 1, chosen, -chosen)


def drawn_metrics(tree: xr.DataTree, metrics: list[str]) -> xr.DataArray:
    """Every metric, more is better, over resamples of the samples behind it; NaN where a metric has
    none.
    """
    quality = tree["quality"].to_dataset()
    found = samples.resampled(tree, metrics)
    if found is None:
        return (quality.quality.sel(metric=metrics) * np.nan).expand_dims(draw=1)
    return better_is_more(found.quality, quality, metrics)


def drawn_term(
    tree: xr.DataTree, chosen: dict[str, Any], rho: xr.DataArray, here: xr.DataArray
) -> xr.DataArray:
    """What quality adds to R over resamples.

    Parameters
    ----------
    rho
        ρ over resamples.
    here
        the metrics of the cells that have a score.
    """
    if chosen["normalisation"] == normalisation.RELATIVE:
        return rho
    drawn = drawn_metrics(tree, chosen["metrics"])
    return normalisation.quality_share(drawn, here, list(chosen["baseline"]))
