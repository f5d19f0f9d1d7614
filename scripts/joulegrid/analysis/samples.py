"""Quality sample by sample: the groups /samples/TASK, and what they say of differences between
configurations that answered the same samples.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import reduce
from typing import Any

import numpy as np
import xarray as xr
from scipy import special

from joulegrid.analysis.recorded.quality import Samples
from joulegrid.analysis.statistics import UPPER
from joulegrid.analysis.variables import LINKS, SAMPLES
from joulegrid.study.grid import CONFIGURATION_AXES

# Resamples behind an interval, and their seed
DRAWS, SEED = 1000, 0
# Metrics of a whole corpus, whose samples are pseudo-values: over fewer of them it is the metric to
# first order
OF_CORPUS = ("bleu", "chrf")
Found = dict[tuple[str, ...], Samples]


def group(labels: Mapping[str, Sequence[str]], found: Mapping[str, Found]) -> xr.Dataset:
    """The samples of one task.

    Parameters
    ----------
    labels
        the configuration axes with their labels.
    found
        metric -> configuration -> its samples.

    Returns
    -------
    The variables of `variables.SAMPLES` over configuration axes, metric and sample; NaN where a
    configuration has fewer samples than another, or none.
    """
    places = [{label: n for n, label in enumerate(names)} for names in labels.values()]
    most = max(len(s.total) for rows in found.values() for s in rows.values())
    shape = (*map(len, places), len(found), most)
    total, weight = np.full(shape, np.nan), np.full(shape, np.nan)
    for m, rows in enumerate(found.values()):
        for configuration, each in rows.items():
            index = (*(p[label] for p, label in zip(places, configuration, strict=True)), m)
            total[index][: len(each.total)] = each.total
            weight[index][: len(each.total)] = 1 if each.weight is None else each.weight
    links = [LINKS.index(next(iter(rows.values())).link) for rows in found.values()]
    arrays = {"total": total, "weight": weight, "link": np.array(links, "i1")}
    dims = [*CONFIGURATION_AXES, "metric", "sample"]
    return xr.Dataset(
        {
            name: (("metric",) if name == "link" else dims, arrays[name], variable.attrs)
            for name, variable in SAMPLES.items()
        },
        coords={**{axis: list(names) for axis, names in labels.items()}, "metric": list(found)},
    )


def united(parts: Sequence[xr.Dataset]) -> xr.Dataset:
    """The samples of one task from several studies; a configuration of several has the same in
    each.
    """
    most = max(part.sizes["sample"] for part in parts)
    alike = [
        part.drop_attrs().reset_coords(drop=True).pad(sample=(0, most - part.sizes["sample"]))
        for part in parts
    ]
    whole = reduce(lambda one, other: one.combine_first(other), alike)
    return xr.Dataset(
        {
            name: whole[name].astype(variable.dtype).assign_attrs(variable.attrs)
            for name, variable in SAMPLES.items()
        }
    )


def resampled(tree: xr.DataTree, metrics: Sequence[str]) -> xr.Dataset | None:
    """Metrics over resamples of their samples (the bootstrap of Efron), the same resamples for all
    configurations: what they share through the samples falls out of their differences.

    Returns
    -------
    `quality` over configuration axes, metric and draw, NaN where a metric has no samples there;
    `freedom`, the samples that count less one, over configuration axes and metric. None if no
    metric has any.
    """
    found = [_draws(each, task) for task, each in _samples_of(tree, metrics)]
    return xr.concat(found, "metric").reindex(metric=list(metrics)) if found else None


def paired(tree: xr.DataTree, metrics: Sequence[str], own: dict[str, str]) -> xr.Dataset | None:
    """Metrics of every configuration and of its baseline on the samples that both have.

    Parameters
    ----------
    own
        the labels of the baseline on the axes of configurations.

    Returns
    -------
    Over configuration axes and metric: `value` and `base` of configuration and baseline; `shared`,
    how many samples both have, and `of`, how many either has, NaN where there are none;
    `drawn` and `drawn_base` (also over `draw`) and `freedom`, see `resampled`. None if no metric
    has any samples.
    """
    found = [_pairs(each, task, own) for task, each in _samples_of(tree, metrics)]
    return xr.concat(found, "metric").reindex(metric=list(metrics)) if found else None


def _samples_of(tree: xr.DataTree, metrics: Sequence[str]) -> Iterator[tuple[str, xr.Dataset]]:
    """Task and samples of every metric that has some."""
    tasks = tree["samples"].children if "samples" in tree.children else {}
    for metric in metrics:
        # labels of tasks may hold dots themselves
        for name, task in tasks.items():
            if metric.startswith(f"{name}.") and metric in task.metric.values:
                yield str(name), task.to_dataset().sel(metric=metric)


def _pairs(samples: xr.Dataset, task: str, own: dict[str, str]) -> xr.Dataset:
    """One metric of a task, see `paired`. Where configuration and baseline have not so many samples
    each, such as windows of a text by tokenizers of their own, none is left out: they are not the
    same ones.
    """
    sizes = ["total", "weight"]
    mine = samples[sizes]
    base = mine.sel(own, drop=True).broadcast_like(mine).transpose(*samples.total.dims)
    alike = mine.total.count("sample") == base.total.count("sample")
    one, other = mine.weight > 0, base.weight > 0
    alone = (one != other) & alike
    both = [each.where(~alone, 0).assign(link=samples.link) for each in (mine, base)]
    drawn, drawn_base = (_draws(each, task) for each in both)
    known = alike & (mine.total.count("sample") > 0)
    return xr.Dataset(
        {
            "value": _value(both[0]),
            "base": _value(both[1]),
            "shared": (one & other).sum("sample").where(known),
            "of": (one | other).sum("sample").where(known),
            "drawn": drawn.quality,
            "drawn_base": drawn_base.quality,
            "freedom": drawn.freedom,
        }
    )


def _value(samples: xr.Dataset) -> xr.DataArray:
    """One metric, NaN where no sample counts."""
    weight = samples.weight.sum("sample")
    mean = samples.total.sum("sample") / weight.where(weight > 0)
    return np.exp(mean) if LINKS[int(samples.link)] == "exp" else mean


def _draws(samples: xr.Dataset, task: str) -> xr.Dataset:
    """One metric of a task over resamples."""
    axes = samples.total.dims[:-1]
    shape = samples.total.shape
    total, weight = (samples[v].values.reshape(-1, shape[-1]) for v in ("total", "weight"))
    count = np.isfinite(total).sum(axis=1)
    values = np.full((len(total), DRAWS), np.nan)
    for n in np.unique(count[count > 1]):
        rows, times = count == n, _times_drawn(task, int(n))
        # of samples that were left out alone, where there are few, there is no mean
        with np.errstate(invalid="ignore"):
            mean = (total[rows, :n] @ times) / (weight[rows, :n] @ times)
        values[rows] = np.exp(mean) if LINKS[int(samples.link)] == "exp" else mean
    counting = (weight > 0).sum(axis=1)
    freedom = np.where(counting > 1, counting - 1.0, np.nan)
    return xr.Dataset(
        {
            "quality": ((*axes, "draw"), values.reshape(*shape[:-1], DRAWS)),
            "freedom": (axes, freedom.reshape(shape[:-1])),
        },
        coords={axis: samples[axis] for axis in axes} | {"metric": samples.metric},
    )


def _times_drawn(task: str, n: int) -> np.ndarray:
    """How often each of n samples is in each resample, shape (n, draws); the same for all metrics
    of a task, which are of the same samples.
    """
    random = np.random.default_rng([SEED, n, *task.encode()])
    drawn = random.integers(0, n, (DRAWS, n))
    return np.stack([np.bincount(row, minlength=n) for row in drawn], axis=1).astype("f8")


def error_of(draws: xr.DataArray, freedom: xr.DataArray) -> xr.DataArray:
    """Standard error out of resamples, which spread by (n - 1) / n too little; 0 is 0."""
    return draws.std("draw") * np.sqrt((freedom + 1) / freedom)


def half_width(error: xr.DataArray, freedom: xr.DataArray) -> xr.DataArray:
    """Of the 95 % interval, Student's t."""
    quantile: Any = xr.apply_ufunc(special.stdtrit, freedom, UPPER)
    return quantile * error
