"""How the requests of replays fared: the group replay, out of the records of sessions and the
tables of requests beside them.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import xarray as xr

from joulegrid.analysis.recorded.session import Replay
from joulegrid.analysis.table import Table
from joulegrid.analysis.variables import COMPONENTS, Variable
from joulegrid.study.grid import Cell

PERCENTILES = (50, 95, 99)
_PER_PERCENTILE = ("percentile",)
_LATE = (
    "requests that were not finished count as later than all others: NaN where the percentile "
    "falls among them, or the engine does not say"
)
_NOT_BEGUN = (
    "requests that were not begun count as later than all others: NaN where the percentile falls "
    "among them, or the engine does not say"
)
# dims: the cell's axes, session; of workloads that are replays
REPLAY = {
    "arrived": Variable("requests that arrived"),
    "finished": Variable("requests that were finished"),
    "offered_rate": Variable("requests that arrived per second", "s-1"),
    "served_rate": Variable("requests that were finished per second", "s-1"),
    "token_rate": Variable("generated tokens per second, idling included", "s-1"),
    "goodput": Variable(
        "requests per second that were finished within all limits of the study",
        "s-1",
        comment="NaN without limits, or without the table of requests beside the record",
    ),
    "within_limits": Variable("share of the requests that were finished within all limits"),
    "latency": Variable("time from arrival to the last token", "s", _PER_PERCENTILE, comment=_LATE),
    "first_token": Variable(
        "time from arrival to the first token", "s", _PER_PERCENTILE, comment=_LATE
    ),
    "time_per_output_token": Variable(
        "time per generated token after the first, of finished requests", "s", _PER_PERCENTILE
    ),
    "queueing": Variable(
        "time from arrival until the engine took a request up",
        "s",
        _PER_PERCENTILE,
        comment=_NOT_BEGUN,
    ),
    "backlog": Variable("requests that had arrived and were not finished when arrivals ended"),
    "in_progress": Variable("requests of these that the engine had taken up"),
    "waiting": Variable("requests of the backlog that the engine had not taken up"),
    "most_waiting": Variable("requests that waited at one time, at most"),
    "drain_time": Variable("time until the last request was finished after arrivals ended", "s"),
    "utilisation": Variable(
        "share of the time until arrivals ended in which a request was there and not finished"
    ),
    "energy_per_request": Variable("energy of all components per finished request", "J"),
    "drain_energy": Variable("energy after arrivals ended", "J", ("component",)),
    "disturbed_share": Variable("share of the time in which the machine was disturbed"),
}
# dims: the same, and bin
BINS = {
    "bin_start": Variable("when a bin of time begins, since the begin of the replay", "s"),
    "bin_duration": Variable("length of the bin", "s"),
    "bin_energy": Variable("energy of the bin", "J", ("component",)),
    "bin_disturbed": Variable("1 if the machine was disturbed in the bin"),
}
# limit of the study -> columns of the table of requests that it is about: from when to when
_FROM_TO = {
    "first_token_s": ("arrival_s", "first_token_s"),
    "per_token_s": ("first_token_s", "done_s"),
    "total_s": ("arrival_s", "done_s"),
}


class Replays:
    """Collects the replays of sessions; of other workloads there is nothing to collect.

    Parameters
    ----------
    axes
        the labels of the cell axes, and the sessions.
    workloads
        label -> entry of the study.
    """

    def __init__(self, axes: Mapping[str, Sequence[Any]], workloads: Mapping[str, dict[str, Any]]):
        self.workloads = {
            label: workloads[label]
            for label in axes["workload"]
            if workloads[label]["method"] == "replay"
        }
        self.axes = {**axes, "workload": list(self.workloads)}
        extra = {"component": COMPONENTS, "percentile": PERCENTILES}
        self.table = Table(self.axes, REPLAY, extra)
        self._bins: dict[tuple, Replay] = {}

    def add(self, cell: Cell, session: int, replay: Replay, requests: Path) -> None:
        """Add the replay of a session, whose table of requests is at `requests`."""
        limits = self.workloads[cell.workload].get("limits", {})
        good = within(requests, limits) if limits else None
        self.table.add((*cell, session), _row(replay, good))
        self._bins[*cell, session] = replay

    def dataset(self) -> xr.Dataset | None:
        """The group replay; None where no workload is one."""
        return self.table.dataset().merge(self._over_time()) if self.workloads else None

    def _over_time(self) -> xr.Dataset:
        """The variables of `BINS`, NaN behind the last bin of a session."""
        longest = max((len(replay.bins) for replay in self._bins.values()), default=0)
        shape = (*(len(labels) for labels in self.axes.values()), longest)
        extra = {"component": COMPONENTS}
        arrays = {
            name: np.full((*shape, *(len(extra[d]) for d in v.extra)), np.nan)
            for name, v in BINS.items()
        }
        index = [{label: n for n, label in enumerate(labels)} for labels in self.axes.values()]
        for labels, replay in self._bins.items():
            place = tuple(known[label] for known, label in zip(index, labels, strict=True))
            for number, part in enumerate(replay.bins):
                arrays["bin_start"][*place, number] = part.start_s
                arrays["bin_duration"][*place, number] = part.seconds
                arrays["bin_energy"][*place, number] = part.energy_j.listed()
                arrays["bin_disturbed"][*place, number] = part.disturbed is not None
        dims = (*self.axes, "bin")
        return xr.Dataset(
            {name: ((*dims, *v.extra), arrays[name], v.attrs) for name, v in BINS.items()},
            coords={name: list(labels) for name, labels in {**self.axes, **extra}.items()},
        )


def _row(replay: Replay, good: int | None) -> dict[str, Any]:
    seconds = replay.finished / replay.served_per_s if replay.served_per_s else np.nan
    return {
        "arrived": replay.arrived,
        "finished": replay.finished,
        "offered_rate": replay.offered_per_s,
        "served_rate": replay.served_per_s,
        "token_rate": replay.tokens_per_s,
        "goodput": None if good is None else good / seconds,
        "within_limits": None if good is None else good / replay.arrived,
        "latency": replay.total_s.listed(),
        "first_token": replay.first_token_s.listed(),
        "time_per_output_token": replay.per_token_s.listed(),
        "queueing": replay.queueing_s.listed(),
        "backlog": replay.backlog,
        "in_progress": replay.in_progress,
        "waiting": replay.waiting,
        "most_waiting": replay.most_waiting,
        "drain_time": replay.drain_s,
        "utilisation": replay.utilisation,
        "energy_per_request": replay.energy_per_request_j,
        "drain_energy": replay.drain_energy_j.listed(),
        "disturbed_share": replay.disturbed_share,
    }


def within(requests: Path, limits: Mapping[str, float]) -> int | None:
    """How many requests were finished within all limits (s): what goodput counts (Zhong et al.
    2024, DistServe). A latency that a request does not have, per token of an answer of one token,
    keeps within them.

    Returns
    -------
    None where the table of requests is not there, or the engine said nothing of a latency.
    """
    try:
        table = pq.read_table(requests)
        columns = {name: table[name].to_numpy() for name in table.column_names}
    except (OSError, pa.ArrowInvalid):
        return None
    done = ~np.isnan(columns["done_s"])
    good = done.copy()
    for kind, limit in limits.items():
        begin, end = (columns[name] for name in _FROM_TO[kind])
        if done.any() and np.isnan((end - begin)[done]).all():
            return None
        steps = columns["tokens_written"] - 1 if kind == "per_token_s" else 1
        # of one token alone there is nothing to wait for: 0 of 0 steps
        good &= ~(end - begin > limit * steps)
    return int(good.sum())


def objective(
    tree: xr.DataTree, seconds_per_token: xr.DataArray, baseline: Mapping[str, str]
) -> xr.DataArray:
    """Latency in s that cells are weighed by: of a replay the 95th percentile from arrival to the
    last token, infinite where that was not finished; of others seconds per generated token, as of
    all where the study compares workloads with each other.
    """
    if "replay" not in tree.children or "workload" in baseline:
        return seconds_per_token
    group = tree["replay"].to_dataset()
    late = group.latency.sel(percentile=PERCENTILES[1], drop=True)
    late = late.where(late.notnull() | group.finished.isnull(), np.inf).mean("session")
    return late.reindex_like(seconds_per_token).fillna(seconds_per_token)
