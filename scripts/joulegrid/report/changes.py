"""Figures of changes against the baseline, as F. Dosquet shows them (LLM Size Reduction & Carbon
Footprint, HEC Liège 2025): energy against quality with the size of the weights, shares of the
components, and configurations across machines.

The sign is the same in all of them: cell minus baseline. More energy, or a greater share of it, is
positive; so is more quality.
"""

from typing import Any

import altair as alt
import pandas as pd
import xarray as xr

from joulegrid.analysis import comparison
from joulegrid.report.frames import COMPONENT_NAMES, Namer, component_frame, plain
from joulegrid.study.grid import CELL_AXES, PLACE_AXES, short_name

BUBBLE = ["configuration", "place", "change", "half", "low", "high", "quality", "megabytes"]
SHARE = ["configuration", "place", "component", "basis", "share", "points", "begin", "end"]
PUBLISHED = ["whose", "model", "energy", "quality"]
READABLE = 0.06  # share of a bar in which a number can be read
ACROSS = ["configuration", "place", "setup", "change", "half", "low", "high"]
ENERGY_CHANGE = "change of energy per token"


def change_frame(tree: xr.DataTree, names: Namer) -> pd.DataFrame:
    """One row per cell with an energy: its changes against the baseline of its place, as shares of
    the baseline's, the half width of the 95 % interval of that of energy (NaN with one session),
    the loaded weights in MB, and the setup: labels of the compared axes that are no configuration.
    """
    ranking = tree["ranking"].to_dataset()[["efficiency", "efficiency_ci95", "quality"]]
    size = tree["energy"].weights_size.max("session").drop_attrs() / 1e6
    found = ranking.assign(megabytes=size).drop_attrs()
    frame = found.reset_coords(drop=True).to_dataframe(dim_order=list(CELL_AXES)).reset_index()
    frame = names(frame.dropna(subset=["efficiency"]))
    baseline = comparison.chosen_in(tree["ranking"].attrs)["baseline"]
    axes = [axis for axis in PLACE_AXES if axis in baseline and tree["energy"].sizes[axis] > 1]
    change, half = 0 - frame.efficiency, frame.efficiency_ci95.fillna(0)
    return frame.assign(
        change=change,
        half=frame.efficiency_ci95,
        low=change - half,
        high=change + half,
        setup=[short_name(row) for row in frame[axes].itertuples(index=False)] if axes else "",
    )


def share_frame(tree: xr.DataTree, names: Namer) -> pd.DataFrame:
    """One row per measured cell and component: its share of the cell's energy, and how many
    percentage points that is more than in the baseline of the place (NaN where there is none);
    where its part of a bar begins and ends.
    """
    frame = component_frame(tree, names)
    cell = list(CELL_AXES)
    frame = frame.sort_values([*cell, "component"])
    frame = frame.assign(share=frame.joules / frame.groupby(cell).joules.transform("sum"))
    end = frame.groupby(cell).share.cumsum()
    frame = frame.assign(begin=end - frame.share, end=end)
    baseline = comparison.chosen_in(tree["ranking"].attrs)["baseline"]
    place = [axis for axis in cell if axis not in baseline]
    of_baseline = (frame[list(baseline)] == pd.Series(baseline)).all(axis=1)
    base = frame[of_baseline][[*place, "component", "share"]]
    frame = frame.merge(
        base.rename(columns={"share": "base"}), on=[*place, "component"], how="left"
    )
    return frame.assign(points=100 * (frame.share - frame.base))


def bubbles(frame: pd.DataFrame, elsewhere: pd.DataFrame) -> alt.Chart | None:
    """Change of energy against change of quality, the area as large as the loaded weights; None
    where nothing is compared or no size is known.

    Parameters
    ----------
    elsewhere
        rows of `published.changes`, drawn where they tell both.
    """
    known = frame.dropna(subset=["quality", "megabytes"])
    if not (known.change != 0).any():
        return None
    y = alt.Y(
        "quality:Q",
        title="change of quality ρ",
        axis=alt.Axis(format="+.1%"),
        scale=alt.Scale(padding=30),
    )
    base = alt.Chart(plain(known, BUBBLE))
    theirs = elsewhere.dropna(subset=["energy", "quality"])
    extent = pd.concat([known.change, theirs.energy])
    zero = alt.Chart(pd.DataFrame({"zero": [0]})).mark_rule(strokeDash=[2, 3], opacity=0.6)
    interval = base.mark_rule(opacity=0.6, clip=True).encode(
        x=_change("low:Q", extent), x2="high:Q", y=y
    )
    circles = base.mark_circle(opacity=0.55).encode(
        x=_change("change:Q", extent),
        y=y,
        size=alt.Size(
            "megabytes:Q",
            title="loaded weights, MB",
            scale=alt.Scale(rangeMin=40, rangeMax=1600, zero=True),
            legend=alt.Legend(orient="top", columns=4, tickCount=3),
        ),
        color=alt.Color("configuration:N", title=None, legend=alt.Legend(orient="bottom")),
        tooltip=[
            "configuration",
            "place",
            alt.Tooltip("change:Q", format="+.1%", title="energy"),
            alt.Tooltip("half:Q", format=".1%", title="± (95 %)"),
            alt.Tooltip("quality:Q", format="+.2%"),
            alt.Tooltip("megabytes:Q", format=".4g", title="MB"),
        ],
    )
    chart = zero.encode(x="zero:Q") + zero.encode(y="zero:Q") + interval + circles
    if len(theirs):
        chart += _published(theirs, extent, y)
    return chart.properties(height=340, title="What compression changes")


def _published(frame: pd.DataFrame, extent: pd.Series, y: alt.Y) -> alt.Chart:
    """Published changes, as empty diamonds with a legend of their own."""
    shown = plain(frame.assign(whose=frame.publication + " (published)"), PUBLISHED)
    return (
        alt.Chart(shown)
        .mark_point(size=110, strokeWidth=2, color="#7f7f7f")
        .encode(
            x=_change("energy:Q", extent),
            y=y,
            shape=alt.Shape(
                "whose:N",
                title=None,
                scale=alt.Scale(range=["diamond"]),
                legend=alt.Legend(orient="bottom"),
            ),
            tooltip=[
                "whose",
                "model",
                alt.Tooltip("energy:Q", format="+.1%"),
                alt.Tooltip("quality:Q", format="+.2%"),
            ],
        )
    )


def _change(field: str, changes: pd.Series) -> alt.X:
    """The axis of energy over what is shown and 0; an interval that goes beyond is cut off."""
    least, most = min(changes.min(), 0), max(changes.max(), 0)
    room = 0.12 * (most - least) or 0.1
    scale = alt.Scale(domain=[least - room, most + room], nice=False)
    return alt.X(field, title=ENERGY_CHANGE, axis=alt.Axis(format="+%"), scale=scale)


def shares(frame: pd.DataFrame) -> alt.Chart | None:
    """Share of each component in the energy of each cell; None where there is one component."""
    if frame[frame.joules > 0].component.nunique() < 2:
        return None
    base = alt.Chart(plain(frame, SHARE))
    y = alt.Y("configuration:N", title=None)
    bars = base.mark_bar().encode(
        x=alt.X(
            "begin:Q",
            title="share of the energy",
            axis=alt.Axis(format="%"),
            scale=alt.Scale(domain=[0, 1]),
        ),
        x2="end:Q",
        y=y,
        color=alt.Color(
            "component:N",
            title=None,
            sort=list(COMPONENT_NAMES.values()),
            legend=alt.Legend(orient="bottom"),
        ),
        tooltip=[
            "configuration",
            "place",
            "component",
            "basis",
            alt.Tooltip("share:Q", format=".1%"),
            alt.Tooltip("points:Q", format="+.1f", title="points more than the baseline"),
        ],
    )
    told = f"datum.share > {READABLE} && isValid(datum.points) && abs(datum.points) >= 0.05"
    changed = base.transform_filter(told).transform_calculate(
        middle="(datum.begin + datum.end) / 2"
    )
    # the colour of the CPU is dark, those of the others are light
    ink = alt.condition("datum.component === 'CPU'", alt.value("white"), alt.value("black"))
    texts = changed.mark_text(fontSize=10).encode(
        x="middle:Q", y=y, text=alt.Text("points:Q", format="+.1f"), color=ink
    )
    return bars + texts


def across_setups(frame: pd.DataFrame) -> Any:
    """Change of energy of each configuration on each setup against the one baseline of all setups;
    None where the study's baseline names no machine, engine or workload.
    """
    if frame.setup.nunique() < 2:
        return None
    base = alt.Chart(plain(frame, ACROSS))
    y = alt.Y("configuration:N", title=None)
    setup = alt.YOffset("setup:N")
    color = alt.Color("setup:N", title=None, legend=alt.Legend(orient="bottom"))
    bars = base.mark_bar().encode(
        x=_change("change:Q", frame.change),
        y=y,
        yOffset=setup,
        color=color,
        tooltip=[
            "configuration",
            "setup",
            alt.Tooltip("change:Q", format="+.1%", title="energy"),
            alt.Tooltip("half:Q", format=".1%", title="± (95 %)"),
        ],
    )
    interval = base.mark_rule(clip=True).encode(
        x=_change("low:Q", frame.change), x2="high:Q", y=y, yOffset=setup
    )
    return (bars + interval).properties(title="Across setups")
