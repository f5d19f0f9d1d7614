"""When to begin a job, on the clock of the cluster, by a past series of carbon intensity."""

import calendar
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from joulegrid.analysis.intensity import hourly

MONTHS = list(calendar.month_name)[1:]
# The slack of which is said what shifting reaches, in h: --begin waits for the next such hour
SLACK = 24


def begins(series: xr.DataArray, job_hours: tuple[int, ...], time_zone: str) -> xr.Dataset:
    """The time of day at which jobs would have been cleanest, month by month.

    Parameters
    ----------
    series
        hourly or finer, over `time` in UTC.
    time_zone
        of the clock that is told, an IANA name.

    Returns
    -------
    Over `month` (1 to 12, local) and `job_hours`: `begin_hour`, in h after midnight, local; and
    `begin_saved`, what starting always at this time would have saved against starting at any, as a
    share. NaN for months that the series does not have whole days of.
    """
    full = hourly(series)
    clock = pd.DatetimeIndex(full.time.values).tz_localize("UTC").tz_convert(time_zone)
    local = full.assign_coords(
        month=("time", clock.month), clock=("time", clock.hour + clock.minute / 60)
    )
    found = [_begin(local, hours) for hours in job_hours]
    return xr.concat(found, pd.Index(job_hours, name="job_hours"))


def _begin(local: xr.DataArray, hours: int) -> xr.Dataset:
    """It for jobs of one length."""
    # a window ends at its label: the mean belongs to the hour in which the job begins
    means = local.rolling(time=hours).mean().shift(time=1 - hours).dropna("time")
    if not means.sizes["time"]:
        empty = xr.DataArray(np.full(12, np.nan), {"month": range(1, 13)})
        return xr.Dataset({"begin_hour": empty, "begin_saved": empty})
    by_clock = means.groupby(["month", "clock"]).mean().reindex(month=range(1, 13))
    month = means.groupby("month").mean().reindex(month=range(1, 13))
    # a month of which there are some hours only says nothing of the others
    known = by_clock.notnull().all("clock")
    best = by_clock.fillna(np.inf).argmin("clock")
    saved = 1 - by_clock.min("clock") / month.where(month > 0)
    hour = xr.DataArray(by_clock.clock.values[best.values], best.coords, best.dims)
    return xr.Dataset({"begin_hour": hour.where(known), "begin_saved": saved.where(known)})


def on_clock(hour: float) -> str:
    """Hours after midnight as HH:MM."""
    return f"{int(hour):02}:{round(60 * (hour % 1)):02}"


def suggestion(grid: xr.Dataset, zone: str, month: int, job_hours: int) -> str:
    """In words when to begin a job in a zone, and what that is worth; empty where the series has
    nothing of that month.

    Parameters
    ----------
    grid
        the group `grid`, whose attribute `time_zone` is the cluster's, empty where the site file
        names none.
    """
    at: dict[str, Any] = {"zone": zone, "month": month, "job_hours": job_hours}
    hour = float(grid.begin_hour.sel(at))
    if hour != hour:
        return ""
    clock, named = on_clock(hour), str(grid.attrs["time_zone"])
    told = (
        f"sbatch --begin={clock}"
        if named
        else "sbatch --begin takes the cluster's time: name it in the site file, time_zone"
    )
    starts = grid.start_intensity.sel(zone=zone, job_hours=job_hours, slack_hours=SLACK)
    now, bound, known = (float(starts.sel(start=n)) for n in ("now", "foresight", "yesterday"))
    reached = (
        f"; within {SLACK} h and over the whole series the hour that was best a day before saves "
        f"{1 - known / now:.0%}, perfect foresight, a bound, {1 - bound / now:.0%}"
        if now == now and now > 0
        else ""
    )
    return (
        f"In {zone} a job of {job_hours} h was cleanest in {MONTHS[month - 1]} when it began at "
        f"{clock} ({named or 'UTC'}): {told}. In the past series, which is no forecast, that "
        f"saves {float(grid.begin_saved.sel(at)):.0%} of the emissions{reached}."
    )
