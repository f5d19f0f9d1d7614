"""What sessions that are there teach of a hardware entry, an engine and a kernel."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from joulegrid.planning.posterior import (
    Belief,
    Case,
    Row,
    defaults,
    expected,
    fit,
    leave_one_out,
)
from joulegrid.study.grid import Cell

MOST_ROWS = 40  # that calibrate one group: more teach little and take time


class Run(NamedTuple):
    """A point in a session that was measured, per run: s, J of the GPUs (None where they were not
    measured), tokens of all requests.

    Parameters
    ----------
    point
        which one, from 0.
    requests
        of one run; None: as many as were asked for.
    """

    seconds: float
    joules: float | None
    tokens_read: float
    tokens_written: float
    point: int = 0
    requests: float | None = None


Measured = Mapping[Cell, Sequence[Run]]
Points = Sequence[Case | None]


class Calibrated(NamedTuple):
    """How far a group rests on measured rows.

    Parameters
    ----------
    rows
        how many.
    time_off, gpu_energy_off
        by which share measured time and energy of each cell are off where the other cells predict
        them, the median; None where fewer than two were measured.
    times_default
        how many times as long as the defaults say a run takes, of the cell of which it is most.
    """

    rows: int
    time_off: float | None
    gpu_energy_off: float | None
    times_default: float


def believed(members: Sequence[tuple[Sequence[Run], Points]]) -> Belief:
    """The defaults of a group, and what runs of its cells say beyond them.

    Parameters
    ----------
    members
        of each cell its runs and its points, of which some case is known.
    """
    case = next(point for _, points in members for point in points if point is not None)
    rows = [
        (part, row)
        for part, (runs, points) in enumerate(members)
        for run in runs
        for point in points[run.point : run.point + 1]
        if point is not None
        for row in [row_of(run, point)]
        if row.seconds is not None or row.joules is not None
    ]
    rows = rows[:: math.ceil(len(rows) / MOST_ROWS) or 1]
    after = fit([row for _, row in rows], defaults(case.machine, case.form.kernel))
    parts = [[row for _, row in part] for _, part in groupby(rows, key=lambda pair: pair[0])]
    off = np.abs(leave_one_out(parts, after) - 1) if len(parts) > 1 else np.empty((0, 2))
    return replace(after, off=(_median(off[:, 0]), _median(off[:, 1])))


def row_of(run: Run, case: Case) -> Row:
    """A measured run as a row of the fit: its own tokens in the place of the estimated ones. The
    time of requests that arrive by themselves tells nothing but how long they arrived.
    """
    requests = run.requests or case.work.requests
    work = replace(
        case.work,
        requests=requests,
        tokens_in=run.tokens_read / requests,
        tokens_out=run.tokens_written / requests,
        window_s=run.seconds if case.work.window_s else 0.0,
    )
    return Row(case._replace(work=work), None if work.window_s else run.seconds, run.joules)


def calibrated(belief: Belief, cases: Iterable[Case]) -> Calibrated:
    """What is told of a group with these cases."""
    ratios = []
    for case in cases:
        before = expected(case, defaults(case.machine, case.form.kernel))
        ratios.append(expected(case, belief).seconds / before.seconds)
    return Calibrated(belief.rows, *belief.off, max(ratios))


def _median(values: NDArray[np.float64]) -> float | None:
    known = values[~np.isnan(values)]
    return float(np.median(known)) if len(known) > 1 else None
