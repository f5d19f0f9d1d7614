"""What hours turn into: wall time with several jobs at a time, money, CO2e at other starts."""

import math
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import xarray as xr

from joulegrid.analysis.begin import SLACK
from joulegrid.analysis.intensity import best_start, is_hourly, read_series
from joulegrid.planning import ranges
from joulegrid.planning.ranges import NOTHING, Range, times, together
from joulegrid.study.sites import Prices


class Work(NamedTuple):
    """How long a job takes, h, and its energy, kWh."""

    hours: float
    kwh: float


class Starts(NamedTuple):
    """Mean intensity of a zone's electricity while jobs run, g/kWh: begun at any hour of its
    series; begun within `SLACK` hours when it was best a day before, and when it is best, which
    only hindsight knows: a bound. NaN of the others where the series is too short.
    """

    now: float
    yesterday: float
    foresight: float


def wall(total: Range, longest: Range, at_a_time: int) -> Range:
    """Time until jobs are done of which so many run at once, in the unit of `total`.

    Parameters
    ----------
    total
        of all jobs one after another.
    longest
        of the longest chain of jobs that wait for each other.

    Returns
    -------
    Between what no order undercuts, max(total/m, chain), and what no order without idle places
    exceeds, total/m + (1 − 1/m)·chain (Graham 1969, doi 10.1137/0117039); the lower end with the
    lower ends of both, the upper end with the upper ones. The middle is the first: jobs are many
    and alike. Waiting in a queue is not in it.
    """
    shared, left = times(total, 1 / at_a_time), 1 - 1 / at_a_time
    return Range(
        max(shared.low, longest.low),
        max(shared.median, longest.median),
        max(shared.high + left * longest.high, longest.high),
    )


def money(label: str, gpu_hours: Range, node_hours: Range, prices: Prices | None) -> Range | None:
    """What sessions on a hardware entry cost; None where the site file gives no price for it."""
    if prices is None or not (label in prices.gpu_hour or label in prices.node_hour):
        return None
    parts = (
        times(gpu_hours, prices.gpu_hour.get(label, 0.0)),
        times(node_hours, prices.node_hour.get(label, 0.0)),
    )
    return ranges.end_to_end(parts)


def added(found: Iterable[Range | None]) -> Range | None:
    """Those that are known, together; None where none is."""
    known = [each for each in found if each is not None]
    return together(known) if known else None


def added_by(found: Iterable[Mapping[str, Range]]) -> dict[str, Range]:
    """Ranges by name, together, of names that all have: a sum of some would pass for all."""
    parts = list(found)
    shared = [name for name in (parts[0] if parts else ()) if all(name in each for each in parts)]
    return {name: together(each[name] for each in parts) for name in shared}


def by_whole_hours(jobs: Iterable[Work]) -> dict[int, float]:
    """Hours that jobs take, begun ones counted whole -> kWh of those that take so many."""
    shares: dict[int, float] = {}
    for hours, kwh in jobs:
        whole = max(math.ceil(hours), 1)
        shares[whole] = shares.get(whole, 0.0) + kwh
    return shares


class Grid:
    """The zones of a study that have an hourly series.

    Parameters
    ----------
    zones
        zone -> entry as `zones.resolve` gives it.
    root
        what the paths of series are relative to.
    """

    def __init__(self, zones: Mapping[str, dict[str, Any]], root: Path) -> None:
        self._zones = {code: zone for code, zone in zones.items() if "series" in zone}
        self._root = root
        self._of, self._series = cache(self._starts), cache(self._read)

    def starts(self, jobs: Iterable[Work]) -> dict[str, Starts]:
        """Zone -> intensities of jobs each of which begins by itself, by their energy.

        Raises
        ------
        InputError
            where a series cannot be read.
        """
        shares = by_whole_hours(jobs)
        found = {code: self._mean(code, shares) for code in self._zones}
        return {code: starts for code, starts in found.items() if starts is not None}

    def _mean(self, code: str, shares: Mapping[int, float]) -> Starts | None:
        """Of jobs of so many hours with so many kWh."""
        total, parts = sum(shares.values()), [self._of(code, hours) for hours in shares]
        known = [starts for starts in parts if starts is not None]
        if not total or len(known) < len(parts):
            return None
        rows = zip(known, shares.values(), strict=True)
        weighted = [[kwh / total * value for value in starts] for starts, kwh in rows]
        return Starts(*(sum(values) for values in zip(*weighted, strict=True)))

    def _read(self, code: str) -> xr.DataArray:
        zone = self._zones[code]
        return read_series(self._root / zone["series"]["path"], zone["basis"])

    def _starts(self, code: str, hours: int) -> Starts | None:
        series = self._series(code)
        if not is_hourly(series):
            return None
        best = best_start(series, hours, SLACK)
        now, foresight, yesterday = (
            float(best.sel(start=name)) for name in ("now", "foresight", "yesterday")
        )
        return Starts(float(series.mean()) if math.isnan(now) else now, yesterday, foresight)


def emitted(kwh: Range, pue: float, starts: Mapping[str, Starts], when: str) -> dict[str, Range]:
    """Zone -> g of CO2e of kWh at one of the starts, where the series tells it."""
    return {
        code: times(kwh, pue * getattr(each, when))
        for code, each in starts.items()
        if kwh != NOTHING and not math.isnan(getattr(each, when))
    }
