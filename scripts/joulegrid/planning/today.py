"""What jobs emit that begin now where the cluster stands, and at the best start of the hours to
come, as far as these are known.
"""

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from functools import cache
from typing import Any

import numpy as np
import xarray as xr

from joulegrid.analysis.begin import SLACK
from joulegrid.errors import InputError
from joulegrid.planning.bill import Work, by_whole_hours
from joulegrid.planning.outlook import TooShort, outlook
from joulegrid.planning.submission import series_of_site
from joulegrid.study.study import Study

AT_ONCE, LATER = "{}_begun_now", f"{{}}_best_of_next_{SLACK}_h"


class Today:
    """The hours to come where a cluster stands.

    Parameters
    ----------
    place
        a zone of the study, or `site` where the site file names a forecast alone.
    read
        what gives `series` and `name` of `outlook.outlook`, once they are asked for.
    now
        with its time zone.
    """

    def __init__(
        self, place: str, read: Callable[[], tuple[xr.DataArray, str]], now: datetime
    ) -> None:
        self._place, self._read, self._now = place, cache(read), now
        self._rests_on: dict[int, str] = {}  # hours ahead -> what these are known by
        self._reasons: dict[int, str] = {}  # hours ahead -> why nothing is

    @property
    def said(self) -> str:
        """What all intensities that were asked for rest on, and why some are missing."""
        if not self._reasons:
            return self._known() if self._rests_on else ""
        reason = self._reasons[max(self._reasons)]
        if not self._rests_on:
            return f"nothing is said of {self._place} today: {reason}"
        return f"{self._known()}; not of all jobs, nor in total: {reason}"

    def _known(self) -> str:
        return f"{self._place} today, after {self._rests_on[max(self._rests_on)]}"

    def intensities(self, jobs: Iterable[Work]) -> dict[str, float]:
        """Mean g/kWh of jobs by their energy: all of them begun now, and each by itself at the
        start within `SLACK` hours that is expected to be best. Empty where too little is known.
        """
        shares = by_whole_hours(jobs)
        total = sum(shares.values())
        if not total:
            return {}
        ahead = SLACK + max(shares)
        try:
            series, name = self._read()
            known = outlook(series, self._now, ahead, name)
        except TooShort:
            self._reasons[ahead] = (
                f"{name} is no forecast of the next {ahead} h, and has too few days of this month "
                "for a usual one"
            )
            return {}
        except InputError as error:
            self._reasons[ahead] = str(error)
            return {}
        self._rests_on[ahead] = known.rests_on
        means = {hours: _means(known.expected, hours) for hours in shares}
        now = sum(kwh * means[hours][0] for hours, kwh in shares.items()) / total
        best = sum(kwh * means[hours].min() for hours, kwh in shares.items()) / total
        return {AT_ONCE.format(self._place): float(now), LATER.format(self._place): float(best)}


def _means(expected: np.ndarray[Any, np.dtype[np.float64]], hours: int) -> Any:
    """Mean g/kWh of a job of so many hours, by the hour that it begins in, the last one `SLACK`
    hours from now.
    """
    windows = np.lib.stride_tricks.sliding_window_view(expected, hours)
    return windows[: SLACK + 1].mean(axis=1)


def of_site(study: Study, site: Mapping[str, Any] | None, now: datetime) -> Today | None:
    """None where the site file names neither a forecast nor a zone with a series. What it names and
    cannot be read is said, and stops nothing that has no deadline.
    """
    if site is None:
        return None
    place = site.get("zone", "site")
    if "forecast" not in site and "series" not in study.zones.get(place, {}):
        return None
    return Today(place, lambda: series_of_site(study, site, str(study.data.get("site"))), now)
