"""The points of sweeps, and how long prompts and answers were: the groups points and lengths."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from math import ceil
from typing import Any

import xarray as xr
from msgspec.json import Decoder

from joulegrid.analysis.recorded.session import Lengths, Point, Session
from joulegrid.analysis.sessions import per_point
from joulegrid.analysis.table import Table
from joulegrid.analysis.variables import COMPONENTS, POINTS, QUANTILES, STATUS
from joulegrid.study.grid import Cell
from joulegrid.study.points import number_of

# What tells points apart, as coordinates
MEASURED_AT = ("prompt_tokens", "new_tokens", "concurrency")
_decoder = Decoder(Lengths)


class Sweeps:
    """Collects the points of sessions, of workloads that have several: those in `counts`.

    Parameters
    ----------
    axes
        the labels of the cell axes, and the sessions.
    workloads
        label -> entry of the study.
    """

    def __init__(self, axes: Mapping[str, Sequence[Any]], workloads: Mapping[str, dict[str, Any]]):
        counts = {label: number_of(entry) for label, entry in workloads.items()}
        self.counts = {label: count for label, count in counts.items() if count > 1}
        self.axes = {
            **axes,
            "workload": [label for label in axes["workload"] if label in self.counts],
            "point": range(max(self.counts.values(), default=0)),
        }
        self.table = Table(self.axes, POINTS, {"component": COMPONENTS})

    def rows(self, cell: Cell, record: Session) -> list[dict[str, Any]]:
        """The points of the record of a session.

        Raises
        ------
        LookupError
            where it lacks one.
        """
        totals = per_point(record.windows)
        return [
            _row(record.points[number], totals.get(number))
            for number in range(self.counts[cell.workload])
        ]

    def add(
        self,
        cell: Cell,
        session: int,
        row: Mapping[str, Any],
        measured: Sequence[Mapping[str, Any]],
    ) -> None:
        """Add `rows` of a session; where there are none each point says why, as the session's row
        does.
        """
        why = {key: row[key] for key in ("status", "reason") if key in row}
        for number in range(self.counts[cell.workload]):
            self.table.add((*cell, session, number), measured[number] if measured else why)

    def dataset(self) -> xr.Dataset | None:
        """The group points; None where no workload is a sweep."""
        return self.table.dataset().set_coords(MEASURED_AT) if self.counts else None


def _row(point: Point, totals: dict[str, Any] | None) -> dict[str, Any]:
    about = {
        "status": STATUS.index(point.status),
        "reason": point.reason,
        "prompt_tokens": point.prompt_tokens,
        "new_tokens": point.new_tokens,
        "concurrency": point.at_once,
    }
    if totals is None:
        return about
    mean = {
        "prompt_tokens": totals["tokens_read"] / totals["requests"],
        "new_tokens": totals["tokens_written"] / totals["requests"],
    }
    return {**about, **totals, **mean}


def quantiles(counts: Sequence[int]) -> list[float | None]:
    """`variables.QUANTILES` of some counts: the least one that so large a share does not exceed,
    which is always one of them (the inverse of the distribution function).
    """
    if not counts:
        return [None] * len(QUANTILES)
    ordered = sorted(counts)
    return [float(ordered[max(ceil(q * len(ordered)) - 1, 0)]) for q in QUANTILES]


def lengths_of(record: Session) -> dict[str, Any]:
    """The row of a session in the group lengths, of all its points together."""
    return _lengths(tuple(bytes(point.lengths) for point in record.points))


@lru_cache
def _lengths(content: tuple[bytes, ...]) -> dict[str, Any]:
    """It by what the points say: cells of one model and workload mostly say the same."""
    found = [_decoder.decode(each) for each in content]
    read = [count for each in found for count in each.tokens_read]
    written = [count for each in found for count in each.tokens_written]
    return {
        "requests": len(read),
        "prompt_tokens": quantiles(read),
        "new_tokens": quantiles(written),
    }
