"""The figures of a study, as Altair charts."""

from collections.abc import Callable
from typing import Any

import altair as alt
import numpy as np
import pandas as pd
import xarray as xr

from joulegrid.study.grid import CELL_AXES, PLACE_AXES
from joulegrid.units import J_PER_KWH

Namer = Callable[[pd.DataFrame], pd.DataFrame]
# Okabe and Ito's palette, safe for colour-blind readers
PALETTE = ["#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#000000"]
COMPONENT_NAMES = {"cpu": "CPU", "gpu": "GPU", "ram": "RAM"}
ENERGY_TITLE = "energy per generated token (J)"


def draw(tree: xr.DataTree) -> dict[str, alt.Chart]:
    """All figures by name."""
    alt.data_transformers.disable_max_rows()
    names = namer(tree)
    charts = {
        "energy_quality": energy_quality(ranking_frame(tree, names)),
        "energy_components": energy_components(component_frame(tree, names)),
        "carbon_zones": carbon_zones(carbon_frame(tree, names)),
    }
    return {name: _themed(chart) for name, chart in charts.items()}


def namer(tree: xr.DataTree) -> Namer:
    """A function from a frame with the axes as columns to short names: only the axes with a choice
    are named.
    """
    varying = [axis for axis in CELL_AXES if tree["energy"].sizes[axis] > 1]
    configuration = [axis for axis in varying if axis not in PLACE_AXES] or ["quantization"]
    place = [axis for axis in varying if axis in PLACE_AXES]

    def name(frame: pd.DataFrame) -> pd.DataFrame:
        return frame.assign(
            configuration=_joined(frame, configuration), place=_joined(frame, place) or "all"
        )

    return name


def _joined(frame: pd.DataFrame, columns: list[str]) -> list[str]:
    """The columns as one text per row; an empty list where there are no columns."""
    return [" · ".join(row) for row in frame[columns].itertuples(index=False)] if columns else []


def ranking_frame(tree: xr.DataTree, names: Namer) -> pd.DataFrame:
    """One row per ranked cell: energy per token with its interval (J), quality, score, rank."""
    columns = [
        "energy_per_token",
        "energy_per_token_ci95",
        "efficiency",
        "quality",
        "score",
        "rank",
        "pareto",
    ]
    frame = (
        tree["ranking"]
        .to_dataset()[columns]
        .drop_attrs()
        .to_dataframe(dim_order=list(CELL_AXES))
        .reset_index()
    )
    frame = names(frame.dropna(subset=["energy_per_token", "quality"]))
    half = frame.energy_per_token_ci95.fillna(0)
    return frame.assign(low=frame.energy_per_token - half, high=frame.energy_per_token + half)


def component_frame(tree: xr.DataTree, names: Namer) -> pd.DataFrame:
    """One row per measured cell and component: J per generated token (mean over sessions), measured
    or estimated.
    """
    energy = tree["energy"].to_dataset()
    meanings = np.array(energy.basis.attrs["flag_meanings"].split())
    order = [*CELL_AXES, "component"]
    mean = (
        (energy.energy / energy.tokens_written)
        .mean("session")
        .drop_attrs()
        .to_dataframe("joules", dim_order=order)
    )
    basis = energy.basis.min("session").transpose(*order).values.ravel()
    frame = mean.assign(basis=meanings[basis]).reset_index().dropna(subset=["joules"])
    frame = frame[frame.basis != "absent"]
    return names(
        frame.assign(component=frame.component.map(COMPONENT_NAMES), kwh=frame.joules / J_PER_KWH)
    )


def carbon_frame(tree: xr.DataTree, names: Namer) -> pd.DataFrame:
    """One row per measured cell and zone: gCO2e of 1,000 generated tokens."""
    carbon = tree["carbon"].to_dataset()[["emissions_per_token"]].drop_attrs()
    frame = (
        carbon.to_dataframe(dim_order=[*CELL_AXES, "zone"])
        .reset_index()
        .dropna(subset=["emissions_per_token"])
    )
    return names(frame.assign(grams=frame.emissions_per_token * 1000))


def energy_quality(frame: pd.DataFrame) -> alt.Chart:
    """Energy against quality, with 95 % intervals and the Pareto front of each place."""
    x = alt.X("energy_per_token:Q", title=ENERGY_TITLE, scale=alt.Scale(zero=False))
    y = alt.Y(
        "quality:Q", title="quality relative to the baseline (ρ)", axis=alt.Axis(format="+.1%")
    )
    color = alt.Color("place:N", title="hardware · engine · workload", legend=_legend(frame))
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
    base = alt.Chart(frame)
    front = base.transform_filter("datum.pareto == 1").mark_line(strokeDash=[4, 3], opacity=0.8)
    front = front.encode(
        x=x, y=y, color=color, detail="model:N", order=alt.Order("energy_per_token:Q")
    )
    interval = base.mark_rule(opacity=0.6).encode(
        x=alt.X("low:Q", title=ENERGY_TITLE), x2="high:Q", y=y, color=color
    )
    filled = alt.condition("datum.pareto == 1", alt.value(1.0), alt.value(0.35))
    points = base.mark_point(filled=True, size=80).encode(
        x=x, y=y, color=color, opacity=filled, tooltip=tooltip
    )
    labels = base.mark_text(align="left", dx=7, dy=-7, fontSize=10).encode(
        x=x, y=y, text="configuration:N"
    )
    title = alt.Title(
        "Energy against quality",
        subtitle="dashed and full points: Pareto front; bars: 95 % intervals",
    )
    return (front + interval + points + labels).properties(width=640, height=380, title=title)


def _legend(frame: pd.DataFrame) -> Any:
    return alt.Legend(orient="bottom") if frame.place.nunique() > 1 else None


def energy_components(frame: pd.DataFrame) -> alt.Chart:
    """Energy per token by component, estimated ones in a lighter tone."""
    order = frame.groupby("configuration").joules.sum().sort_values().index.tolist()
    chart = (
        alt.Chart(frame)
        .mark_bar()
        .encode(
            x=alt.X("sum(joules):Q", title="energy per generated token (J)"),
            y=alt.Y("configuration:N", sort=order, title=None, axis=alt.Axis(labelLimit=320)),
            color=alt.Color("component:N", title="component", sort=list(COMPONENT_NAMES.values())),
            opacity=alt.Opacity(
                "basis:N",
                title="basis",
                scale=alt.Scale(domain=["measured", "estimated", "guess"], range=[1.0, 0.55, 0.25]),
            ),
            tooltip=[
                "configuration",
                "place",
                "component",
                "basis",
                alt.Tooltip("joules:Q", format=".4g"),
            ],
        )
        .properties(width=560)
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
            color=alt.Color(
                "configuration:N", title="configuration", legend=alt.Legend(labelLimit=320)
            ),
            tooltip=["configuration", "place", "zone", alt.Tooltip("grams:Q", format=".4g")],
        )
        .properties(width=480, height=alt.Step(28))
    )
    return _by_place(chart, frame, "CO₂e by zone")


def _by_place(chart: alt.Chart, frame: pd.DataFrame, title: str) -> Any:
    """The chart, once per hardware, engine and workload where there are several."""
    if frame.place.nunique() <= 1:
        return chart.properties(title=title)
    row = alt.Row("place:N", title=None, header=alt.Header(labelAngle=0, labelAlign="left"))
    return chart.facet(row=row).properties(title=title)


def _themed(chart: Any) -> Any:
    return (
        chart.configure_range(category=PALETTE)
        .configure_view(stroke=None)
        .configure_axis(labelFontSize=11, titleFontSize=12, gridOpacity=0.4)
        .configure_title(anchor="start", fontSize=15)
    )
