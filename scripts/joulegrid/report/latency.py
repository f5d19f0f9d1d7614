"""Columns, limits and the chart of replays: latencies, and what a request costs."""

from collections.abc import Iterator
from typing import Any

import altair as alt
import pandas as pd
import xarray as xr

from joulegrid.report.columns import Column
from joulegrid.study.grid import CELL_AXES, short_name

SHOWN = {  # variable -> percentiles that have a column
    "latency": (50, 95, 99),
    "first_token": (50, 95),
    "time_per_output_token": (50, 95),
    "queueing": (95,),
}
# Columns of the rest
REST = {
    "goodput": ("goodput", "1/s", ".3g"),
    "energy_per_request": ("energy per request", "J", ".4g"),
    "in_progress": ("in progress at the end", "", ".3g"),
    "waiting": ("waiting at the end", "", ".3g"),
    "utilisation": ("busy", "", ".0%"),
}
# Those that are shown until a reader picks others: more would not fit on paper
BRIEF = ("latency_p95", "first_token_p95", "goodput", "energy_per_request")
# What the chart needs of its frame
DRAWN = ["line", "workload", "percentile", "offered_rate", "latency", "energy_per_request"]
PANEL = 200  # height in pixels


def recorded(tree: xr.DataTree) -> Iterator[tuple[str, str, xr.DataArray]]:
    """Key, what it says, and value per session of every latency that was recorded somewhere."""
    if "replay" not in tree.children:
        return
    group = tree["replay"].to_dataset()
    for name, percentiles in SHOWN.items():
        for percentile in percentiles:
            values = group[name].sel(percentile=percentile, drop=True)
            if values.notnull().any():
                text = f"{values.attrs['long_name']}, {percentile} % of the requests at most"
                yield f"{name}_p{percentile}", text, values


def with_latencies(tree: xr.DataTree, frame: pd.DataFrame) -> pd.DataFrame:
    """`frame` with a column for each of them, s, and for what else is said of replays: means over
    sessions; of a session in which one is not known, nothing.
    """
    if "replay" not in tree.children:
        return frame
    found = {key: values for key, _, values in recorded(tree)}
    found |= {name: tree["replay"].to_dataset()[name] for name in REST}
    means = xr.Dataset({key: _mean(values) for key, values in found.items()})
    return frame.join(means.to_dataframe(dim_order=list(CELL_AXES)), on=list(CELL_AXES))


def _mean(values: xr.DataArray) -> xr.DataArray:
    return values.mean("session", skipna=False).reset_coords(drop=True).drop_attrs()


def columns_of(tree: xr.DataTree) -> list[Column]:
    """What the table says of them."""
    if "replay" not in tree.children:
        return []
    group = tree["replay"].to_dataset()
    return [
        *(_column(key, key.replace("_", " "), "s", ".3g", text) for key, text, _ in recorded(tree)),
        *(
            _column(name, title, unit, form, str(group[name].long_name))
            for name, (title, unit, form) in REST.items()
        ),
    ]


def _column(key: str, title: str, unit: str, form: str, text: str) -> Column:
    return Column(key, title, unit, form, f"{text}, mean over sessions", brief=key in BRIEF)


def limits_of(tree: xr.DataTree) -> list[dict]:
    """What a reader may ask of them; there are many, and each stands there with its column."""
    return [
        {
            "id": f"max-{key}",
            "title": f"{key.replace('_', ' ')}, s at most",
            "key": key,
            "scale": 1,
            "least": 0,
            "with_column": True,
        }
        for key, _, _ in recorded(tree)
    ]


def rate_frame(tree: xr.DataTree) -> pd.DataFrame:
    """One row per measured replay and percentile: latency (s) and energy per request (J), means
    over sessions, the rate at which requests arrived (1/s), and of which line it is a point.
    """
    group = tree["replay"].to_dataset()[["latency", "energy_per_request", "offered_rate"]]
    frame = group.drop_attrs().mean("session", skipna=False).reset_coords(drop=True)
    rows = frame.to_dataframe(dim_order=[*CELL_AXES, "percentile"]).reset_index()
    rows = rows.dropna(subset=["offered_rate"])
    known = [axis for axis in CELL_AXES if axis != "workload" and tree["energy"].sizes[axis] > 1]
    lines = rows[known or ["quantization"]].itertuples(index=False)
    return rows.assign(
        line=[short_name(row) for row in lines],
        percentile=[f"p{value:g}" for value in rows.percentile],
    )


def chart(frame: pd.DataFrame, width: int) -> Any:
    """Latency percentiles above, energy per request below, both over the rate of arrivals.

    Parameters
    ----------
    frame
        of `rate_frame`.
    """
    # of one rate alone its tick would be a 0: so many digits are chosen for the distance of ticks
    axis = alt.Axis(format=".3~g")
    rate = alt.X("offered_rate:Q", title="requests that arrive per second", axis=axis)
    below = alt.Legend(orient="bottom")
    colour = alt.Color("line:N", title=None, legend=below)
    about = ["line", "workload", alt.Tooltip("offered_rate:Q", format=".3g")]
    latencies = (
        alt.Chart(frame.dropna(subset=["latency"]))
        .mark_line(point=True)
        .encode(
            x=rate,
            y=alt.Y("latency:Q", title="latency (s)", scale=alt.Scale(type="log")),
            color=colour,
            strokeDash=alt.StrokeDash("percentile:N", legend=None),
            shape=alt.Shape("percentile:N", title=None, legend=below),
            tooltip=[*about, "percentile", alt.Tooltip("latency:Q", format=".3g")],
        )
        .properties(width=width, height=PANEL)
    )
    energies = (
        alt.Chart(frame[frame.percentile == "p50"])
        .mark_line(point=True)
        .encode(
            x=rate,
            y=alt.Y("energy_per_request:Q", title="energy per request (J)"),
            color=colour,
            tooltip=[*about, alt.Tooltip("energy_per_request:Q", format=".4g")],
        )
        .properties(width=width, height=PANEL)
    )
    return alt.vconcat(latencies, energies).properties(title="Latency and energy over the rate")
