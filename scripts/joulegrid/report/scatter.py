"""The scatter of all cells: energy against quality."""

from typing import Any

import altair as alt
import pandas as pd

from joulegrid.report.frames import WIDTH, plain
from joulegrid.report.names import named

# Points that can all be named; so many that only those of the front keep their intervals, the
# others would be one grey area; energies that differ by more times need a logarithmic axis
FEW, MANY, WIDE = 12, 2000, 10
# What the figure needs of its frame
POINT = [
    "configuration",
    "place",
    "model",
    "energy_per_token",
    "energy_per_token_ci95",
    "quality",
    "efficiency",
    "score",
    "rank",
    "pareto",
]
ENERGY_TITLE = "energy per generated token (J)"


def energy_quality(frame: pd.DataFrame, is_plane: bool = True) -> alt.Chart:
    """Energy against quality, with 95 % intervals and the Pareto front of each place.

    A front over other objectives than these two is no line here: its points are full ones.
    The axes span the points and their intervals; one that is wider than all points lie apart is cut
    off, as it is where energies differ by more than ten times and the axis is logarithmic. Points
    of the front are named, the others on request.
    """
    x = alt.X("energy_per_token:Q", title=ENERGY_TITLE, scale=_spanning(frame))
    y = alt.Y(
        "quality:Q",
        title="quality relative to the baseline (ρ)",
        axis=alt.Axis(format="+.1%"),
        scale=alt.Scale(zero=False, nice=True, padding=12),
    )
    color = alt.Color("place:N", title="place", legend=_legend(frame))
    tooltip = [
        alt.Tooltip("configuration:N"),
        alt.Tooltip("place:N"),
        alt.Tooltip("energy_per_token:Q", format=".3g", title="J per token"),
        alt.Tooltip("energy_per_token_ci95:Q", format=".2g", title="± (95 %)"),
        alt.Tooltip("quality:Q", format="+.2%", title="quality ρ"),
        alt.Tooltip("efficiency:Q", format="+.2%", title="energy saved φ"),
        alt.Tooltip("score:Q", format=".4f", title="score R"),
        alt.Tooltip("rank:Q"),
    ]
    base = alt.Chart(plain(frame, POINT)).transform_calculate(
        low="datum.energy_per_token - (datum.energy_per_token_ci95 || 0)",
        high="datum.energy_per_token + (datum.energy_per_token_ci95 || 0)",
    )
    best = base.transform_filter("datum.pareto == 1")
    front = best.mark_line(strokeDash=[4, 3], opacity=0.8).encode(
        x=x, y=y, color=color, detail="model:N", order=alt.Order("energy_per_token:Q")
    )
    crowded = len(frame) > MANY
    interval = (
        (best if crowded else base)
        .mark_rule(opacity=0.6, clip=True)
        .encode(x=alt.X("low:Q", title=ENERGY_TITLE), x2="high:Q", y=y, color=color)
    )
    filled = alt.condition("datum.pareto == 1", alt.value(1.0), alt.value(0.35))
    size = alt.condition("datum.chosen === 1", alt.value(320), alt.value(30 if crowded else 80))
    points = base.mark_point(filled=True, cursor="pointer").encode(
        x=x, y=y, color=color, opacity=filled, size=size, tooltip=tooltip
    )
    labels = named(
        best if len(frame) > FEW else base,
        *(x, y),
        is_log=is_wide(frame),
        is_crowded=crowded,
        longest=max(map(len, frame.configuration), default=0),
    )
    dashed, behind = ("dashed and ", front + interval) if is_plane else ("", interval)
    bars = "95 % intervals of it" if crowded else "95 % intervals"
    told = [f"{dashed}full points: Pareto front", f"bars: {bars}"]
    title = alt.Title("Energy against quality", subtitle=told)
    chart = behind + points + labels
    # in the page the rows of its tables are the data
    return chart.properties(width=WIDTH, height=380, title=title, usermeta={"cells": True})


def is_wide(frame: pd.DataFrame) -> bool:
    """Whether the energies differ so much that their axis is logarithmic."""
    least, most = frame.energy_per_token.min(), frame.energy_per_token.max()
    return bool(least > 0 and most > WIDE * least)


def _spanning(frame: pd.DataFrame) -> alt.Scale:
    """A scale over points and intervals with some room, logarithmic where they differ much."""
    if not len(frame):
        return alt.Scale()
    energies, margins = frame.energy_per_token, frame.energy_per_token_ci95.fillna(0.0)
    least, most = energies.min(), energies.max()
    if is_wide(frame):
        return alt.Scale(type="log", domain=[least / 1.3, most * 1.5], nice=False)
    apart = most - least or abs(most) or 1.0
    room = 0.12 * apart
    low = max((energies - margins).min(), least - apart, min(least, 0.0))
    high = min((energies + margins).max(), most + apart)
    domain = [min(low, least - room), max(high, most + 1.5 * room)]
    return alt.Scale(domain=domain, nice=False, zero=False)


def _legend(frame: pd.DataFrame) -> Any:
    return alt.Legend(orient="bottom") if frame.place.nunique() > 1 else None
