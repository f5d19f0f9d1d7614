"""The carbon intensity of the hours to come: by a forecast, or as it was in the past."""

from datetime import UTC, datetime
from typing import NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from joulegrid.analysis.begin import MONTHS
from joulegrid.analysis.intensity import hourly, is_hourly, profile
from joulegrid.errors import InputError

HOUR = np.timedelta64(1, "h")
# Forecasts of four days are off by 9.6 % on average of 13 grids (CarbonX, 2025, which finds itself
# beside the best): 12 % is the σ of a normal error of that mean size. That a forecast errs for a
# day at a time, log-normally, is assumed.
ERROR, ERROR_HOURS, DRAWS = 0.12, 24.0, 200
# So many days of the same month say what a time of day is worth
LEAST_DAYS = 20


class TooShort(InputError):
    """A series that holds neither the hours to come nor enough of the past."""


class Outlook(NamedTuple):
    """What is known of the hours to come, the first of which is the one that is now.

    Parameters
    ----------
    rests_on
        what it is known by.
    expected
        hours: g/kWh.
    cases
        cases × hours: how it may come, g/kWh.
    """

    rests_on: str
    expected: NDArray[np.float64]
    cases: NDArray[np.float64]


def outlook(series: xr.DataArray, now: datetime, hours: int, name: str) -> Outlook:
    """The hours from `now` on.

    A series that reaches beyond now is taken for a forecast of these hours; one that ends before,
    for a past that tells what a time of day is worth in a month.

    Parameters
    ----------
    series
        g/kWh, hourly or finer, over `time` in UTC; see `intensity.read_series`.
    now
        with its time zone.
    hours
        how many, the one that is now included.
    name
        of the file, for messages.

    Raises
    ------
    InputError
        where the series is not hourly or begins later; `TooShort` where a forecast does not reach
        so far, or a past has too few days of the month.
    """
    if not is_hourly(series):
        raise InputError(f"{name}: expected a value for each hour")
    full = hourly(series)
    first = np.datetime64(now.astimezone(UTC).replace(tzinfo=None), "h")
    begin, end = full.time.values[0], full.time.values[-1] + HOUR
    if end <= first:
        return _past(full, first, hours, name)
    if begin > first:
        raise InputError(f"{name}: begins at {_text(begin)} UTC only; expected this hour in it")
    if end < first + hours * HOUR:
        raise TooShort(
            f"{name}: ends at {_text(end)} UTC, before the deadline ({_text(first + hours * HOUR)} "
            "UTC, in whole hours); expected a longer forecast, or an earlier deadline"
        )
    there = full.sel(time=slice(first, first + (hours - 1) * HOUR)).values
    return Outlook(f"the forecast {name}", there, there * _errors(hours))


def _errors(hours: int) -> NDArray[np.float64]:
    """Factors by which a forecast may be wrong, cases × hours; the same ones each time."""
    drawn = np.random.default_rng(0).standard_normal((DRAWS, hours))
    kept = np.exp(-1 / ERROR_HOURS)
    for hour in range(1, hours):
        drawn[:, hour] = kept * drawn[:, hour - 1] + np.sqrt(1 - kept**2) * drawn[:, hour]
    return np.exp(ERROR * drawn)


def _past(full: xr.DataArray, first: np.datetime64, hours: int, name: str) -> Outlook:
    """Expected is the mean of each hour of the day in this month, also beyond its end: that the
    next one was cleaner a year ago says little of this year. Cases are the stretches that began on
    a day of this month at this time of day.
    """
    of_day = profile(full).values[_month(first) - 1]
    expected = of_day[_hour(first + np.arange(hours) * HOUR)]
    at = full.time.values
    alike = (_month(at) == _month(first)) & (_hour(at) == _hour(first))
    begins = np.flatnonzero(alike[: max(len(at) - hours + 1, 0)])
    month = MONTHS[int(_month(first)) - 1]
    if np.isnan(expected).any() or len(begins) < LEAST_DAYS:
        raise TooShort(
            f"{name}: ends at {_text(at[-1] + HOUR)} UTC, so that it is no forecast, and of "
            f"{month} it holds {len(begins)} days with as many hours behind them as there are to "
            f"the deadline; expected {LEAST_DAYS} or more, or a forecast, or an earlier deadline"
        )
    cases = np.lib.stride_tricks.sliding_window_view(full.values, hours)[begins]
    return Outlook(f"{len(begins)} days of {month} in {name}, no forecast", expected, cases)


def _month(time: NDArray[np.datetime64] | np.datetime64) -> NDArray[np.int64]:
    """1 to 12."""
    return np.asarray(time).astype("M8[M]").astype(int) % 12 + 1


def _hour(time: NDArray[np.datetime64] | np.datetime64) -> NDArray[np.int64]:
    """0 to 23."""
    return np.asarray(time).astype("M8[h]").astype(int) % 24


def _text(time: np.datetime64) -> str:
    return str(time.astype("M8[m]"))
