"""Carbon intensity over time: reading series, their profile by hour and month, and what shifting a
job in time saves.
"""

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from joulegrid.errors import InputError
from joulegrid.study.zones import DIRECT, LIFE_CYCLE, UNKNOWN
from joulegrid.texts.files import decode

# Beginnings of Electricity Maps' column names, case-folded, both generations (to 2024, from 2025)
TIME, DIRECT_COLUMN = "datetime (utc)", "carbon intensity gco₂eq/kwh (direct)"
LIFE_CYCLE_COLUMNS = (
    "carbon intensity gco₂eq/kwh (lca)",
    "carbon intensity gco₂eq/kwh (life cycle)",
)
ESTIMATED, ZONE = "data estimated", "zone id"
STARTS = ("now", "foresight", "yesterday")
HOUR = np.timedelta64(1, "h")
# Bounds of 95 % of the hours; of fewer than those of a week nothing is said
BOUNDS, WEEK = {"low": 0.025, "high": 0.975}, 168


def read_series(path: Path, basis: str | None = None) -> xr.DataArray:
    """Intensity in g/kWh over time (UTC) of a CSV file.

    Parameters
    ----------
    path
        a file of Electricity Maps (hourly to yearly), or one of two columns: time and g/kWh.
    basis
        which column of Electricity Maps' is taken, "life cycle" or "direct", where left out the
        first; of other files what the values are.

    Returns
    -------
    With dimension `time` in order; attributes `basis`, `estimated_share` (of the values, NaN where
    the file does not say), `zone`.

    Raises
    ------
    InputError
        naming the file, and the line that is no time or no number.
    """
    text = decode(path.read_bytes(), str(path))
    frame = pd.read_csv(io.StringIO(text), dtype=str, keep_default_na=False)
    names = {str(name).strip().casefold(): str(name) for name in frame.columns}
    estimated, zone = np.nan, ""
    if TIME in names:
        basis = basis or LIFE_CYCLE
        column = _electricity_maps(names, basis, path)
        time, values = frame[names[TIME]], frame[column]
        if ESTIMATED in names:
            estimated = float((frame[names[ESTIMATED]].str.casefold() == "true").mean())
        zone = frame[names[ZONE]].iloc[0] if ZONE in names and len(frame) else ""
    elif len(names) == 2:
        time, values, basis = frame.iloc[:, 0], frame.iloc[:, 1], basis or UNKNOWN
    else:
        raise InputError(
            f"{path}: expected a CSV file of Electricity Maps, or one with two columns, time and "
            f"g/kWh; got the columns {', '.join(map(str, frame.columns))}"
        )
    when = _parsed(pd.to_datetime(time, errors="coerce", utc=True, format="ISO8601"), time, path)
    grams = _parsed(pd.to_numeric(values.where(values != "", "nan"), errors="coerce"), values, path)
    there = when.notna() & grams.notna()
    if not there.any():
        raise InputError(f"{path}: holds no values")
    when, grams = when[there], grams[there]
    series = xr.DataArray(
        grams.to_numpy("f8"),
        coords={"time": when.dt.tz_localize(None).to_numpy()},
        dims="time",
        name="intensity",
        attrs={"basis": basis, "estimated_share": estimated, "zone": zone},
    )
    return series.sortby("time").drop_duplicates("time")


def _electricity_maps(names: dict[str, str], basis: str, path: Path) -> str:
    wanted = (DIRECT_COLUMN,) if basis == DIRECT else LIFE_CYCLE_COLUMNS
    for name in wanted:
        if name in names:
            return names[name]
    raise InputError(f"{path}: has no column of the {basis} intensity")


def _parsed(found: pd.Series, given: pd.Series, path: Path) -> pd.Series:
    """`found`, if what is missing in it was empty in the file."""
    wrong = found.isna() & (given != "")
    if wrong.any():
        line = int(np.flatnonzero(wrong)[0])
        raise InputError(f"{path}:{line + 2}: {given.iloc[line]!r} is no time or no number")
    return found


def is_hourly(series: xr.DataArray) -> bool:
    """Whether it has a value each hour, or more."""
    steps = np.diff(series.time.values)
    return bool(steps.size) and bool(np.median(steps) <= HOUR)


def hourly(series: xr.DataArray) -> xr.DataArray:
    """The series at every hour between its ends; a gap takes the value before it.

    Raises
    ------
    InputError
        where it is not hourly or finer.
    """
    if not is_hourly(series):
        raise InputError("a series with a value for each hour is needed")
    return xr.DataArray.from_series(series.to_series().resample("1h").mean().ffill().bfill())


def profile(series: xr.DataArray) -> xr.DataArray:
    """Mean intensity by `month` (1 to 12) and `hour` (0 to 23, UTC)."""
    full = hourly(series)
    keyed = full.assign_coords(month=full.time.dt.month, hour=full.time.dt.hour)
    found = keyed.groupby(["month", "hour"]).mean()
    return found.reindex(month=range(1, 13), hour=range(24)).transpose("month", "hour")


def best_start(series: xr.DataArray, hours: int, slack: int) -> xr.DataArray:
    """Mean intensity of a job that may begin up to `slack` hours later, over all hours at which it
    could be submitted.

    Returns
    -------
    With coordinate `start`: `now`; `foresight`, the best start in hindsight, which bounds what any
    forecast reaches; `yesterday`, the start that was best a day before, with no forecast at all.

    Raises
    ------
    InputError
        where the series is too short, or not hourly.
    """
    values = hourly(series).values
    sums = np.concatenate([[0.0], np.cumsum(values)])
    means = (sums[hours:] - sums[:-hours]) / hours
    day = 24
    count = len(means) - slack - day
    if count < 1:
        return xr.DataArray([np.nan] * len(STARTS), coords={"start": list(STARTS)})
    windows = np.lib.stride_tricks.sliding_window_view(means, slack + 1)
    # a day ago; only what was over by now is known of it
    before = np.lib.stride_tricks.sliding_window_view(means, min(slack, max(day - hours, 0)) + 1)
    today = windows[day : day + count]
    found = (
        today[:, 0],
        today.min(axis=1),
        today[np.arange(count), before[:count].argmin(axis=1)],
    )
    return xr.DataArray([float(v.mean()) for v in found], coords={"start": list(STARTS)})


def ratios(series: Mapping[str, xr.DataArray]) -> xr.DataArray:
    """Intensity of one zone over that of another in the same hour: what 95 % of the hours lie
    between.

    Parameters
    ----------
    series
        zone -> an hourly series.

    Returns
    -------
    Over `zone`, `to` and `bound`, `to` over `zone`; NaN where two series share less than a week of
    hours in which `zone` emits anything.

    Raises
    ------
    InputError
        where one is not hourly.
    """
    frame = pd.DataFrame({zone: hourly(one).to_series() for zone, one in series.items()})
    found = []
    for zone in frame:
        shares = frame.div(frame[zone].where(frame[zone] > 0), axis=0)
        bounds = shares.quantile(list(BOUNDS.values()))
        bounds.loc[:, shares.count() < WEEK] = np.nan
        found.append(bounds.to_numpy().T)
    zones = list(frame)
    coordinates = {"zone": zones, "to": zones, "bound": list(BOUNDS)}
    return xr.DataArray(np.array(found), coordinates, list(coordinates))


def summary(series: xr.DataArray) -> dict[str, Any]:
    """Mean, basis, year and share of estimated values of a series, as a zone's entry has it."""
    years = np.unique(series.time.dt.year.values)
    return {
        "intensity_g_per_kwh": float(series.mean()),
        "basis": series.attrs["basis"],
        "year": int(years[-1]),
        "estimated_share": series.attrs["estimated_share"],
    }
