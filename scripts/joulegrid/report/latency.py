"""Columns and limits of latency, for workloads whose requests have one.

What the sessions recorded decides: every variable of the group `energy` in seconds per session
whose name begins like one of `BEGINS`, such as latency_p95 or first_token_p50.
"""

import pandas as pd
import xarray as xr

from joulegrid.report.columns import Column
from joulegrid.study.grid import CELL_AXES

BEGINS = ("latency", "first_token", "time_per_output_token")


def recorded(tree: xr.DataTree) -> list[str]:
    """Names of the variables that have a value somewhere."""
    energy = tree["energy"].to_dataset()
    return [
        str(name)
        for name, values in energy.data_vars.items()
        if str(name).startswith(BEGINS)
        and values.attrs.get("units") == "s"
        and set(values.dims) == {*CELL_AXES, "session"}
        and values.notnull().any()
    ]


def with_latencies(tree: xr.DataTree, frame: pd.DataFrame) -> pd.DataFrame:
    """`frame` with a column for each of them, s: means over sessions."""
    names = recorded(tree)
    if not names:
        return frame
    means = tree["energy"].to_dataset()[names].mean("session").reset_coords(drop=True).drop_attrs()
    return frame.join(means.to_dataframe(dim_order=list(CELL_AXES)), on=list(CELL_AXES))


def columns_of(tree: xr.DataTree) -> list[Column]:
    """What the table says of them."""
    about = {name: tree["energy"][name].attrs.get("long_name", name) for name in recorded(tree)}
    return [
        Column(name, name.replace("_", " "), "s", ".3g", f"{said}, mean over sessions")
        for name, said in about.items()
    ]


def limits_of(tree: xr.DataTree) -> list[dict]:
    """What a reader may ask of them."""
    return [
        {
            "id": f"max-{name}",
            "title": f"{name.replace('_', ' ')}, s at most",
            "key": name,
            "scale": 1,
            "least": 0,
        }
        for name in recorded(tree)
    ]
