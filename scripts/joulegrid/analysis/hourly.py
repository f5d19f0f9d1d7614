"""Emissions of replays by the hour: energy over time, times an hourly carbon intensity.

Energy of a replay is not even: what it emits depends on the hour at which it begins.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from joulegrid.analysis.intensity import hourly, is_hourly, read_series
from joulegrid.analysis.variables import Variable
from joulegrid.study.grid import CELL_AXES
from joulegrid.units import J_PER_KWH

HOUR_S = 3600
BEGINS = ("mean", "best", "worst")
# dims: the cell's axes, zone; of zones with an hourly series
HOURLY = {
    "emissions": Variable(
        "CO2e of the replay, of all hours of the series at which it could begin",
        "g",
        ("begin",),
        comment="energy of each hour of the replay times PUE times the intensity of that hour; "
        "mean over sessions",
    )
}


def account(
    tree: xr.DataTree, zones: Mapping[str, dict[str, Any]], pue: Mapping[str, float], root: Path
) -> xr.Dataset:
    """The variables of `HOURLY`; empty where the study has no replay or no hourly series.

    Parameters
    ----------
    zones
        zone -> entry, with `series` as `{path, sha256}` relative to `root` where it has one.
    pue
        hardware label -> power usage effectiveness.

    Raises
    ------
    InputError
        where a series cannot be read.
    """
    if "replay" not in tree.children:
        return xr.Dataset()
    joules = by_hour(tree["replay"].to_dataset())
    factor = xr.DataArray([pue[h] for h in joules.hardware.values], coords=[joules.hardware])
    parts = []
    for code, zone in zones.items():
        if "series" not in zone:
            continue
        series = read_series(root / zone["series"]["path"], zone["basis"])
        if is_hourly(series):
            grams = begun(joules * factor / J_PER_KWH, hourly(series).values)
            parts.append(grams.mean("session").expand_dims(zone=[code]))
    if not parts:
        return xr.Dataset()
    found = xr.concat(parts, "zone").transpose(*CELL_AXES, "zone", "begin")
    return xr.Dataset({"emissions": found.assign_attrs(HOURLY["emissions"].attrs)})


def by_hour(replay: xr.Dataset) -> xr.DataArray:
    """Energy in J of every hour since the begin of a replay; a bin counts where it begins."""
    hour = (replay.bin_start // HOUR_S).fillna(-1).astype(int)
    joules = replay.bin_energy.sum("component", skipna=False)
    last = int(hour.max()) if hour.size else -1
    there = joules.notnull().any("bin")
    rows = [joules.where(hour == n, 0.0).sum("bin").where(there) for n in range(last + 1)]
    if not rows:
        return joules.rename(bin="elapsed")
    return xr.concat(rows, "elapsed")


def begun(kwh: xr.DataArray, intensity: np.ndarray) -> xr.DataArray:
    """Grams of a replay with so many kWh in each `elapsed` hour, over all hours of `intensity`
    (g/kWh) at which it could begin: their mean, the least, the most. NaN where the series is
    shorter than the replay.
    """
    hours = kwh.sizes["elapsed"]
    if not 0 < hours <= len(intensity):
        return xr.full_like(kwh.sum("elapsed"), np.nan).expand_dims(begin=list(BEGINS))
    windows = np.lib.stride_tricks.sliding_window_view(intensity, hours)

    def of_one(row: np.ndarray) -> np.ndarray:
        grams = windows @ row
        return np.array([grams.mean(), grams.min(), grams.max()])

    # one replay at a time: all of them times all hours would not fit into memory
    found: xr.DataArray = xr.apply_ufunc(
        of_one, kwh, input_core_dims=[["elapsed"]], output_core_dims=[["begin"]], vectorize=True
    )
    return found.assign_coords(begin=list(BEGINS))
