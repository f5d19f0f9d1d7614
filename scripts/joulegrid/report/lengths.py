"""The figure and the table of lengths in tokens: samples of trainings, prompts, answers."""

from collections.abc import Iterator
from typing import Any

import altair as alt
import numpy as np
import pandas as pd
import xarray as xr

from joulegrid.report.frames import MOST_NAMED
from joulegrid.study.grid import CELL_AXES, short_name

# Names of `variables.QUANTILES`
QUANTILES = ("least", "p5", "p25", "median", "p75", "p95", "most")
DRAWN = ["label", "what", *QUANTILES]
KINDS = {"prompt_tokens": "prompts", "new_tokens": "answers"}
SAMPLES = "training samples"
# Sets of texts with the same lengths are one row; so many of them it names
NAMED = 3
STEP = 24  # pixels for each
WIDE = 50  # lengths that differ by more times need a logarithmic axis

Found = Iterator[tuple[str, str, str, tuple[float, ...]]]


def length_frame(tree: xr.DataTree) -> pd.DataFrame:
    """One row per distribution of lengths, in tokens: `what` is so long, `of` which entries of the
    study, and the quantiles. What is of one length alone has no row.
    """
    told: dict[tuple[str, str], dict[tuple[float, ...], list[str]]] = {}
    for what, brief, full, quantiles in [*_samples(tree), *_requests(tree)]:
        told.setdefault((what, brief), {}).setdefault(quantiles, []).append(full)
    names: dict[tuple[str, tuple[float, ...]], list[str]] = {}
    for (what, brief), kinds in told.items():
        for quantiles, full_names in kinds.items():
            if quantiles[0] < quantiles[-1]:
                found = [brief] if len(kinds) == 1 else full_names
                names.setdefault((what, quantiles), []).extend(found)
    rows = [
        {"what": what, "of": _joined(found), **dict(zip(QUANTILES, quantiles, strict=True))}
        for (what, quantiles), found in names.items()
    ]
    frame = pd.DataFrame(rows, columns=["what", "of", *QUANTILES]).head(MOST_NAMED)
    return frame.assign(label=frame.what + ": " + frame.of)


def _joined(names: list[str]) -> str:
    rest = len(names) - NAMED
    return ", ".join(names[:NAMED]) + (f" and {rest} more" if rest > 0 else "")


def _samples(tree: xr.DataTree) -> Found:
    """What, name, whole name and quantiles of every training's samples."""
    if "training" not in tree.children:
        return
    group = tree["training"].sample_tokens.transpose("model", "training", "quantile")
    several = group.sizes["model"] > 1
    for labels, quantiles in _known(group):
        name = short_name(labels if several else labels[1:])
        yield SAMPLES, name, name, quantiles


def _requests(tree: xr.DataTree) -> Found:
    """The same of the prompts and answers of every cell. Most cells of a model and a workload say
    the same: where they do not, the whole name tells them apart.
    """
    if "lengths" not in tree.children:
        return
    group = tree["lengths"].to_dataset()
    varying = [n for n, axis in enumerate(CELL_AXES) if group.sizes[axis] > 1]
    model, workload = CELL_AXES.index("model"), CELL_AXES.index("workload")
    brief = [*([model] if model in varying else []), workload]
    for variable, what in KINDS.items():
        for labels, quantiles in _known(group[variable].transpose(*CELL_AXES, "quantile")):
            full = short_name([labels[n] for n in varying] or [labels[workload]])
            yield what, short_name([labels[n] for n in brief]), full, quantiles


def _known(lengths: xr.DataArray) -> Iterator[tuple[list[str], tuple[float, ...]]]:
    """Labels and quantiles of what there is; quantiles are the last dimension."""
    axes = [lengths[axis].values for axis in lengths.dims[:-1]]
    for index in np.argwhere(np.isfinite(lengths.values).all(axis=-1)):
        labels = [str(axis[n]) for axis, n in zip(axes, index, strict=True)]
        yield labels, tuple(lengths.values[tuple(index)].tolist())


def chart(frame: pd.DataFrame, width: int) -> alt.LayerChart:
    """A line from the shortest to the longest, a bar over the middle half, a tick at the median.

    Parameters
    ----------
    frame
        `DRAWN` of `length_frame`.
    """
    wide = frame.least.min() > 0 and frame.most.max() > WIDE * frame.least.min()
    scale = alt.Scale(type="log", nice=False, padding=8) if wide else alt.Scale(zero=True)
    title = "tokens"
    base = alt.Chart(frame).encode(
        y=alt.Y("label:N", title=None, sort=frame.label.tolist()),
        color=alt.Color("what:N", title=None, legend=alt.Legend(orient="bottom")),
        tooltip=["label", *(alt.Tooltip(f"{name}:Q", format=".6g") for name in QUANTILES)],
    )
    whole = base.mark_rule(opacity=0.6).encode(
        x=alt.X("least:Q", title=title, scale=scale), x2="most:Q"
    )
    middle = base.mark_bar(height=10, opacity=0.6).encode(
        x=alt.X("p25:Q", title=title, scale=scale), x2="p75:Q"
    )
    median = base.mark_tick(thickness=3, height=16).encode(
        x=alt.X("median:Q", title=title, scale=scale)
    )
    return (whole + middle + median).properties(
        width=width, height=alt.Step(STEP), title="Lengths in tokens"
    )


def table(tree: xr.DataTree) -> list[dict[str, Any]]:
    """The rows of `length_frame` as the page shows them."""
    rows = length_frame(tree).to_dict("records")
    return [{str(key): value for key, value in row.items()} for row in rows]
