"""The tables behind the figures: one row per point, with short names."""

from collections.abc import Callable, Container

import numpy as np
import pandas as pd
import xarray as xr

from joulegrid.analysis import comparison
from joulegrid.analysis.concluded import VERDICT
from joulegrid.study.grid import CELL_AXES, CONFIGURATION_AXES, PLACE_AXES, short_name
from joulegrid.units import J_PER_KWH

Namer = Callable[[pd.DataFrame], pd.DataFrame]
COMPONENT_NAMES = {"cpu": "CPU", "gpu": "GPU", "ram": "RAM"}

# Bars and points that a figure by name can hold; of more cells it shows the best
MOST_NAMED = 40
WIDTH = 600  # of a figure, pixels; in the page a chart is as wide as there is room


def best_cells(frame: pd.DataFrame, ranking: pd.DataFrame) -> pd.DataFrame:
    """The rows of the cells with the highest scores, where there are more than one can name."""
    if len(ranking) <= MOST_NAMED:
        return frame
    axes = [axis for axis in CELL_AXES if axis in frame]
    best = ranking.sort_values("score", ascending=False, kind="stable")[axes].drop_duplicates()
    return frame.merge(best.head(MOST_NAMED), on=axes)


def plain(frame: pd.DataFrame, columns: list[str]) -> pd.DataFrame:
    """The columns that a figure needs, numbers to five digits: they stand in the page."""
    rounded = frame[columns].copy()
    for name in rounded.select_dtypes("float"):
        rounded[name] = [float(f"{value:.5g}") for value in rounded[name]]
    return rounded


def namer(tree: xr.DataTree, compared: Container[str] = ()) -> Namer:
    """A function from a frame with the axes as columns to short names: only the axes with a choice
    are named. A machine, engine or workload that is `compared` names a configuration, not a place.
    """
    varying = [axis for axis in CELL_AXES if tree["energy"].sizes[axis] > 1]
    place = [axis for axis in varying if axis in PLACE_AXES and axis not in compared]
    configuration = [axis for axis in varying if axis not in place] or ["quantization"]

    def name(frame: pd.DataFrame) -> pd.DataFrame:
        return frame.assign(
            configuration=_joined(frame, configuration), place=_joined(frame, place) or "all"
        )

    return name


def _joined(frame: pd.DataFrame, columns: list[str]) -> list[str]:
    """The columns as one text per row; an empty list where there are no columns."""
    return [short_name(row) for row in frame[columns].itertuples(index=False)] if columns else []


def ranking_frame(tree: xr.DataTree, names: Namer) -> pd.DataFrame:
    """One row per ranked cell: energy per token with its interval (J), quality, score, rank."""
    columns = [
        "energy_per_token",
        "energy_per_token_ci95",
        "efficiency",
        "quality",
        "energy_term",
        "quality_term",
        "score",
        "rank",
        "pareto",
        "wins_from",
        "wins_to",
    ]
    frame = (
        tree["ranking"]
        .to_dataset()[columns]
        .drop_attrs()
        .to_dataframe(dim_order=list(CELL_AXES))
        .reset_index()
    )
    return names(frame.dropna(subset=["energy_per_token", "quality"]))


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


def change_frame(tree: xr.DataTree) -> pd.DataFrame:
    """One row per configuration and metric: its value, and its relative change for the better with
    half width, ends and verdict of the 95 % interval of the difference, as a share of the
    baseline's value; half width 0 where nobody knows.
    """
    chosen = comparison.chosen_in(tree["ranking"].attrs)
    changes = tree["changes"].to_dataset()
    found = changes.assign(value=tree["quality"].quality).sel(metric=chosen["metrics"])
    frame = found.drop_attrs().reset_coords(drop=True).to_dataframe().reset_index()
    frame = frame.dropna(subset=["change"])
    varying = [a for a in CONFIGURATION_AXES if frame[a].nunique() > 1] or ["quantization"]
    half = (frame.difference_ci95 * (frame.change / frame.difference).abs()).fillna(0)
    return frame.assign(
        configuration=_joined(frame, varying),
        half=half,
        low=frame.change - half,
        high=frame.change + half,
        verdict=[VERDICT[code] for code in frame.verdict],
    )
