"""What the jobs took whose records are there: runs of sessions, power of the hosts, and time and
energy of making weights and evaluating quality.
"""

from collections.abc import Iterable
from typing import Any, NamedTuple

from msgspec import MsgspecError
from msgspec.json import decode

from joulegrid.analysis.reading import Records
from joulegrid.analysis.recorded import Cost, Header
from joulegrid.analysis.recorded.session import Session
from joulegrid.analysis.sessions import per_point
from joulegrid.analysis.variables import STATUS
from joulegrid.planning.calibration import Run
from joulegrid.planning.infeasible import outcome
from joulegrid.records import OK, OOM, ROOT
from joulegrid.study.grid import Cell
from joulegrid.study.job import Job
from joulegrid.study.shelf import Shelf

MEASURED = "measured"
MOST_READ = 200  # records of a kind: more teach little and take time


class Host(NamedTuple):
    """Mean power of CPU and memory in the windows of a session, W; how it was obtained: measured,
    estimated, or a guess, the least sure of both.
    """

    watts: float
    basis: str


class Spent(NamedTuple):
    """Wall time of a job, s; J of its GPUs and of CPU and memory, None where nothing metered."""

    seconds: float
    gpu_j: float | None
    host_j: float | None


class Taken(NamedTuple):
    """All of it: by cell, by hardware label, by the path of a job; and cells that ran out of memory
    of the GPU.
    """

    runs: dict[Cell, list[Run]]
    hosts: dict[str, list[Host]]
    others: dict[str, Spent]
    failed: set[Cell]


class Other(Header, kw_only=True):
    """A record of a job that is no session."""

    cost: Cost | None = None
    used: Cost | None = None  # of a training: without the epochs of another one


def read(jobs: Iterable[Job], shelf: Shelf, missing: set[str]) -> Taken:
    """What the records of a study's jobs say; those of findings and damaged ones are left out."""
    records, found = Records(shelf), Taken({}, {}, {}, set())
    counted: dict[str, int] = {}
    for job in jobs:
        if job.path in missing:
            continue
        if job.kind == "energy":
            row, cell = records.row(job, Session, _of_session), Cell(*job.labels[:-1])
            if STATUS[row["status"]] == OOM and outcome(f"{ROOT}/{shelf.record(job)}") == OOM:
                found.failed.add(cell)
            if "runs" in row:
                found.runs.setdefault(cell, []).extend(row["runs"])
                found.hosts.setdefault(cell.hardware, []).append(row["host"])
        elif counted.setdefault(job.kind, 0) < MOST_READ:
            counted[job.kind] += 1
            spent = _of_other(shelf.record(job))
            if spent is not None:
                found.others[job.path] = spent
    return found


def _of_session(record: Session) -> dict[str, Any]:
    """Runs of its points, and power of its host."""
    ways, by_counter = record.components, record.components.gpu.basis == MEASURED
    runs, seconds, joules = [], 0.0, 0.0
    for number, totals in per_point(record.windows).items():
        (cpu, gpu, ram), count = totals["energy"], totals["runs"]
        seconds, joules = seconds + totals["duration"], joules + cpu + ram
        runs.append(
            Run(
                totals["duration"] / count,
                gpu / count if by_counter else None,
                totals["tokens_read"] / count,
                totals["tokens_written"] / count,
                number,
                totals["requests"] / count if totals["requests"] else None,
            )
        )
    order = (MEASURED, "estimated", "guess", "absent")
    basis = max(ways.cpu.basis, ways.ram.basis, key=order.index)
    return {"runs": runs, "host": Host(joules / seconds, basis)}


def _of_other(path: str | None) -> Spent | None:
    if path is None:
        return None
    try:
        record = decode((ROOT / path).read_bytes(), type=Other)
    except (OSError, MsgspecError):
        return None
    if record.status != OK or record.elapsed_s <= 0:
        return None
    cost = record.used or record.cost
    if cost is None or cost.wrong:
        return Spent(record.elapsed_s, None, None)
    gpu = cost.energy_j.get("gpu", 0.0)
    return Spent(cost.of_job(record.elapsed_s).seconds, gpu, cost.joules - gpu)
