"""The figures of a study, as Altair charts."""

from typing import Any

import altair as alt
import pandas as pd
import xarray as xr

from joulegrid.analysis import comparison
from joulegrid.report import changes as against
from joulegrid.report import latency, lengths, levers, published, steadiness, trainings
from joulegrid.report.frames import (
    COMPONENT_NAMES,
    WIDTH,
    best_cells,
    carbon_frame,
    change_frame,
    component_frame,
    namer,
    plain,
    ranking_frame,
)
from joulegrid.report.scatter import energy_quality

# Okabe and Ito's palette, safe for colour-blind readers
PALETTE = ["#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#000000"]
# What each figure needs of its frame
TERMS = ["energy_term", "quality_term"]
LINE = ["configuration", "place", "model", "efficiency", "quality", *TERMS, "wins_from", "wins_to"]
CHANGE = [
    "configuration",
    "model",
    "metric",
    "change",
    "value",
    "half",
    "low",
    "high",
    "verdict",
]
COMPONENT = ["configuration", "place", "component", "basis", "joules"]
EMISSION = ["configuration", "place", "zone", "grams"]
VERDICTS = {"worse": "#D55E00", "better": "#009E73", "same": "#999999", "unknown": "#CCCCCC"}
BASES = ["measured", "estimated", "guess"]
MOST_PLACES = 6  # that a figure is repeated for


def draw(tree: xr.DataTree) -> dict[str, alt.Chart]:
    """All figures by name."""
    alt.data_transformers.disable_max_rows()
    # a machine or an engine that is compared is a part of what a bar or a point is called
    names = namer(tree, comparison.chosen_in(tree["ranking"].attrs)["baseline"])
    ranking = ranking_frame(tree, names)
    changes, components, emitted, moved, parts = (
        best_cells(frame, ranking)
        for frame in (
            change_frame(tree),
            component_frame(tree, names),
            carbon_frame(tree, names),
            against.change_frame(tree, names),
            against.share_frame(tree, names),
        )
    )
    charts = {
        "energy_quality": energy_quality(ranking, _is_plane(tree)),
        "weight_sensitivity": weight_sensitivity(plain(ranking, LINE)),
        "metric_changes": metric_changes(plain(changes, CHANGE)),
        "energy_components": energy_components(plain(components, COMPONENT)),
        "carbon_zones": carbon_zones(plain(emitted, EMISSION)),
    }
    # those that not every study has data for
    if (bubbles := against.bubbles(moved, published.fitting(tree))) is not None:
        charts["bubbles"] = bubbles.properties(width=WIDTH)
    if (shares := against.shares(parts)) is not None:
        charts["component_shares"] = _by_place(shares, parts, "Shares of the components")
    if (across := against.across_setups(namer(tree)(moved))) is not None:
        charts["across_setups"] = across.properties(width=WIDTH)
    if "levers" in tree.children and len(frame := levers.lever_frame(tree)):
        shown = plain(frame, [*levers.ABOUT, *levers.NUMBERS])
        charts["carbon_levers"] = levers.chart(shown, WIDTH)
    if "replay" in tree.children and len(frame := latency.rate_frame(tree)):
        charts["replays"] = latency.chart(plain(frame, latency.DRAWN), WIDTH)
    if len(epochs := trainings.epoch_frame(tree)):
        charts["trainings"] = trainings.chart(plain(epochs, trainings.DRAWN), WIDTH)
    if len(known := lengths.length_frame(tree)):
        charts["lengths"] = lengths.chart(plain(known, lengths.DRAWN), WIDTH)
    drift = steadiness.chart(steadiness.session_frame(tree["energy"].to_dataset()), WIDTH)
    if drift is not None:
        charts["drift"] = drift
    if "grid" in tree.children:
        charts["grid_profile"] = grid_profile(tree["grid"].profile)
    return {name: _themed(chart) for name, chart in charts.items()}


def fitted(spec: dict[str, Any]) -> dict[str, Any]:
    """A chart's specification with the width of the page it stands in; charts that are drawn once
    for each place or metric keep theirs, Vega-Lite cannot fit those.
    """
    whole = "width" in spec and "row" not in spec.get("encoding", {})
    return spec | {"width": "container"} if whole else spec


def _is_plane(tree: xr.DataTree) -> bool:
    """Whether the front is over energy and quality alone: only then it is a line between them."""
    return set(tree["ranking"].attrs["objectives"].split()) == {"energy", "quality"}


def weight_sensitivity(frame: pd.DataFrame) -> Any:
    """R over w of the cells that have the highest one somewhere, and of the baseline: lines, since
    R is linear in w.
    """
    kept = frame[frame.wins_from.notna() | ((frame.efficiency == 0) & (frame.quality == 0))]
    several = kept.groupby("place").configuration.transform("size") > 1
    kept = kept[several]  # the baseline alone says nothing
    ends = [kept.assign(w=0.0, R=kept.quality_term), kept.assign(w=1.0, R=kept.energy_term)]
    lines = pd.concat(ends)
    chart = (
        alt.Chart(lines)
        .mark_line()
        .encode(
            x=alt.X("w:Q", title="weight w of energy"),
            y=alt.Y("R:Q", title="score R"),
            color=alt.Color("configuration:N", title=None, legend=alt.Legend(orient="bottom")),
            detail="model:N",
            tooltip=[
                "configuration",
                "place",
                alt.Tooltip("wins_from:Q", format=".2f"),
                alt.Tooltip("wins_to:Q", format=".2f"),
            ],
        )
        .properties(height=260)
    )
    return _by_place(chart, lines, "Who wins at which weight")


def metric_changes(frame: pd.DataFrame) -> Any:
    """Each metric of each configuration against the baseline's, better to the right, with its
    interval; what that tells from no change is coloured. Nothing where all are as the baseline's.
    """
    base = alt.Chart(frame if frame.change.fillna(0).any() else frame.iloc[:0])
    y = alt.Y("configuration:N", title=None)
    bars = base.mark_bar().encode(
        x=alt.X("change:Q", title="change against the baseline", axis=alt.Axis(format="+%")),
        y=y,
        color=alt.Color(
            "verdict:N",
            title=None,
            scale=alt.Scale(domain=[*VERDICTS], range=[*VERDICTS.values()]),
            legend=alt.Legend(orient="bottom"),
        ),
        tooltip=[
            "configuration",
            "metric",
            alt.Tooltip("change:Q", format="+.2%"),
            alt.Tooltip("half:Q", format=".2%", title="± (95 %)"),
            alt.Tooltip("value:Q", format=".4g"),
            "verdict",
        ],
    )
    interval = base.mark_rule().encode(x="low:Q", x2="high:Q", y=y)
    chart = (
        (bars + interval)
        .properties(width=WIDTH)
        .facet(
            row=alt.Row(
                "metric:N",
                title=None,
                header=alt.Header(labelAlign="left", labelAnchor="start", labelOrient="top"),
            ),
            title="Quality by metric: better to the right",
        )
    )
    return chart.resolve_scale(x="independent")


def energy_components(frame: pd.DataFrame) -> alt.Chart:
    """Energy per token by component, estimated ones in a lighter tone."""
    order = frame.groupby("configuration").joules.sum().sort_values().index.tolist()
    chart = (
        alt.Chart(frame)
        .mark_bar()
        .encode(
            x=alt.X("sum(joules):Q", title="energy per generated token (J)"),
            y=alt.Y("configuration:N", sort=order, title=None),
            color=alt.Color(
                "component:N",
                title=None,
                sort=list(COMPONENT_NAMES.values()),
                legend=alt.Legend(orient="bottom"),
            ),
            opacity=alt.Opacity(
                "basis:O",
                title=None,
                sort=BASES,
                legend=alt.Legend(orient="bottom"),
                scale=alt.Scale(domain=BASES, range=[1.0, 0.55, 0.25]),
            ),
            tooltip=[
                "configuration",
                "place",
                "component",
                "basis",
                alt.Tooltip("joules:Q", format=".4g"),
            ],
        )
    )
    return _by_place(chart, frame, "Energy by component")


def carbon_zones(frame: pd.DataFrame) -> alt.Chart:
    """CO2e of 1,000 generated tokens by zone."""
    zones = frame.groupby("zone").grams.mean().sort_values().index.tolist()
    chart = (
        alt.Chart(frame)
        .mark_circle(size=70)
        .encode(
            x=alt.X("grams:Q", title="gCO₂e per 1,000 generated tokens"),
            y=alt.Y("zone:N", sort=zones, title="zone"),
            color=alt.Color("configuration:N", title=None, legend=alt.Legend(orient="bottom")),
            tooltip=["configuration", "place", "zone", alt.Tooltip("grams:Q", format=".4g")],
        )
        .properties(height=alt.Step(28))
    )
    return _by_place(chart, frame, "CO₂e by zone")


def grid_profile(profile: xr.DataArray) -> Any:
    """Mean intensity by hour and month of every zone with an hourly series."""
    frame = profile.drop_attrs().to_dataframe("grams").reset_index().dropna()
    chart = (
        alt.Chart(frame)
        .mark_rect()
        .encode(
            x=alt.X("hour:O", title="hour (UTC)", axis=alt.Axis(labelAngle=0)),
            y=alt.Y("month:O", title="month"),
            color=alt.Color("grams:Q", title="g/kWh", scale=alt.Scale(scheme="viridis")),
            tooltip=["zone", "month", "hour", alt.Tooltip("grams:Q", format=".0f")],
        )
        .properties(width=WIDTH, height=190)
    )
    row = alt.Row("zone:N", title=None, header=alt.Header(labelAngle=0, labelOrient="top"))
    return chart.facet(row=row).properties(title="Carbon intensity by hour and month")


def _by_place(chart: alt.Chart, frame: pd.DataFrame, title: str) -> Any:
    """The chart, once per hardware, engine and workload where there are several, each with its own
    names; of many places for the first ones.
    """
    places = sorted(frame.place.unique())
    if len(places) <= 1:
        return chart.properties(title=title, width=WIDTH)
    chart = chart.properties(width=WIDTH)
    if len(places) > MOST_PLACES:
        title = f"{title} ({MOST_PLACES} of {len(places)} places)"
        shown = alt.FieldOneOfPredicate("place", places[:MOST_PLACES])
        chart = chart.transform_filter(shown)
    header = alt.Header(labelAngle=0, labelOrient="top", labelAnchor="start")
    row = alt.Row("place:N", title=None, header=header)
    repeated = chart.facet(row=row).properties(title=title)
    return repeated.resolve_scale(y="independent")


def _themed(chart: Any) -> Any:
    return (
        chart.configure_range(category=PALETTE)
        .configure_view(stroke=None)
        .configure_axis(labelFontSize=11, titleFontSize=12, gridOpacity=0.4)
        .configure_axisX(labelOverlap="greedy", labelSeparation=8)
        .configure_axisY(labelLimit=320)
        .configure_legend(labelLimit=320, columns=4)
        .configure_title(anchor="start", fontSize=15)
    )
