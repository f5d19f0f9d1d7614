"""The plan of a study: what is there, what a run would make, and what that takes per machine.

What a run would make is asked of the functions that the rules ask (`Shelf.to_make`), so that both
agree. Predicted are the sessions of energy on boards that are known; everything else is counted.
"""

import csv
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from joulegrid.analysis.reading import Records
from joulegrid.analysis.recorded.session import Session
from joulegrid.analysis.sessions import session_row
from joulegrid.analysis.variables import BASIS
from joulegrid.planning import infeasible, open_cells, ranges
from joulegrid.planning.cells import Judged, Run, judged, measured_first
from joulegrid.planning.ranges import Forecast, Range
from joulegrid.records import ROOT
from joulegrid.study.accept import taken_over
from joulegrid.study.conclusions import conclusions
from joulegrid.study.grid import Cell
from joulegrid.study.shelf import Shelf, jobs_of, sent
from joulegrid.study.specs import KINDS, Job, Specs
from joulegrid.study.study import Study
from joulegrid.study.zones import resolve
from joulegrid.units import J_PER_KWH

PER_HOUR = 3600.0


class Jobs(NamedTuple):
    """How many jobs of a kind there are, are done (of which accepted), and would be run; `steps`
    are those from the records to the report.
    """

    kind: str
    jobs: int
    there: int
    accepted: int
    to_run: int


class Share(NamedTuple):
    """What one hardware entry, or all together, has to do.

    Parameters
    ----------
    cells, unsupported, infeasible
        cells, and of them those that no engine runs and those that are known not to fit: no job is
        sent for either.
    sessions, there, accepted, to_run, predicted
        sessions; those that are done and of these those that were accepted; those that a run would
        make and of these those that the ranges are of.
    hours, gpu_hours, gpu_kwh
        of the predicted sessions, one after another: 80 % ranges.
    grams
        zone -> CO2e of `gpu_kwh` with the machine's PUE, 80 % range.
    rests_on
        what the ranges rest on.
    """

    hardware: str
    cells: int
    unsupported: int
    infeasible: int
    sessions: int
    there: int
    accepted: int
    to_run: int
    predicted: int
    hours: Range
    gpu_hours: Range
    gpu_kwh: Range
    grams: dict[str, Range]
    rests_on: str


class Open(NamedTuple):
    """The most that a selection of trained models may add, which is not decided yet."""

    jobs: list[Jobs]
    shares: list[Share]
    cells: frozenset[Cell]


class Plan(NamedTuple):
    """All of it; `to_run` are the paths of records that a run would make. `open` is None where
    nothing is.
    """

    study: str
    jobs: list[Jobs]
    shares: list[Share]
    cells: list[Judged]
    to_run: list[str]
    open: Open | None = None


def of_study(specs: Specs, artifacts: str) -> Plan:
    """The plan of a study, given where its weights lie."""
    study, every = specs.study, list(jobs_of(specs))
    unfit = infeasible.of_study(specs)
    shelf, steps = Shelf(artifacts, every), conclusions(study, sent(every, unfit), unfit)
    decided, most = open_cells.split(specs, shelf, steps, unfit)
    jobs = sent(jobs_of(specs, decided), unfit)
    own, now = {job.path for job in jobs}, {*decided}
    both = sent(jobs_of(specs, [*decided, *most]), unfit)
    missing = {job.path for job in shelf.missing(both)}
    to_run = {job.path for job in shelf.to_make(jobs)}
    accepted = {taken.job.path for taken in taken_over(both, shelf)}
    found = judged(study.of_cells([*decided, *most]), measured(both, shelf, missing), unfit)
    states = (missing, to_run, accepted)
    counted, shares = _both(study, jobs, [each for each in found if each.cell in now], states)
    late = [
        name
        for name, step in steps.items()
        if missing or not (ROOT / "results/studies" / study.name / step.stamp).exists()
    ]
    counted.append(Jobs("steps", len(steps), len(steps) - len(late), 0, len(late)))
    plan = Plan(study.name, counted, shares, found, sorted(to_run))
    if not most:
        return plan
    later = [job for job in both if job.path not in own]
    states = (missing, {job.path for job in shelf.to_make(both)} - to_run, accepted)
    cells = frozenset(most)
    waiting = [each for each in found if each.cell in cells]
    return plan._replace(open=Open(*_both(study, later, waiting, states), cells))


States = tuple[set[str], set[str], set[str]]


def _both(
    study: Study, jobs: list[Job], cells: list[Judged], states: States
) -> tuple[list[Jobs], list[Share]]:
    """The jobs of each kind, and what each hardware entry has to do."""
    sessions = [job for job in jobs if job.kind == "energy"]
    shares = [
        _share(
            label,
            [each for each in cells if each.cell.hardware == label],
            [job for job in sessions if Cell(*job.labels[:-1]).hardware == label],
            states,
            _factors(study, label),
        )
        for label in study.labels("hardware")
    ]
    kinds = {job.kind for job in jobs}
    return [_counted(kind, jobs, *states) for kind in KINDS if kind in kinds], shares


def measured(jobs: list[Job], shelf: Shelf, missing: set[str]) -> dict[Cell, list[Run]]:
    """What the sessions that are there say, findings and damaged ones left out."""
    records, found = Records(shelf), dict[Cell, list[Run]]()
    for job in jobs:
        if job.kind != "energy":
            continue
        row = {} if job.path in missing else records.row(job, Session, session_row)
        if "energy" in row:
            runs, (_, gpu, _) = row["runs"], row["energy"]
            by_counter = BASIS[row["basis"][1]] == "measured"
            run = Run(
                row["duration"] / runs,
                gpu / runs if by_counter else None,
                row["tokens_read"] / runs,
                row["tokens_written"] / runs,
            )
            found.setdefault(Cell(*job.labels[:-1]), []).append(run)
    return found


def _factors(study: Study, hardware: str) -> dict[str, float]:
    """Zone -> g of CO2e per J of a machine, of zones with one figure for the year."""
    pue = study.data["hardware"][hardware].get("pue", 1.0)
    found = resolve(study.zones, study.source)
    return {
        zone: each["intensity_g_per_kwh"] * pue / J_PER_KWH
        for zone, each in found.items()
        if "intensity_g_per_kwh" in each
    }


def _counted(
    kind: str, jobs: Iterable[Job], missing: set[str], to_run: set[str], accepted: set[str]
) -> Jobs:
    paths = {job.path for job in jobs if job.kind == kind}
    done = paths - missing
    return Jobs(kind, len(paths), len(done), len(done & accepted), len(paths & to_run))


def _share(
    label: str,
    cells: list[Judged],
    sessions: list[Job],
    states: States,
    factors: dict[str, float],
) -> Share:
    counted = _counted("energy", sessions, *states)
    by_cell = {each.cell: each for each in cells}
    waiting = [by_cell[Cell(*job.labels[:-1])] for job in sessions if job.path in states[1]]
    said: list[Forecast] = [each.session for each in waiting if each.session is not None]
    gpus = cells[0].gpus if cells else 0
    rests_on = {
        f"{each.session.rests_on} on {each.case.machine.device.name}"
        for each in waiting
        if each.session is not None and each.case is not None
    }
    hours = _times(ranges.seconds(said), 1 / PER_HOUR)
    joules = ranges.joules(said)
    return Share(
        label,
        len(cells),
        sum(bool(each.unsupported) for each in cells),
        sum(bool(each.infeasible) for each in cells),
        counted.jobs,
        counted.there,
        counted.accepted,
        counted.to_run,
        len(said),
        hours,
        _times(hours, gpus),
        _times(joules, 1 / J_PER_KWH),
        {zone: _times(joules, factor) for zone, factor in factors.items()},
        ", ".join(sorted(rests_on)) or "–",
    )


def _times(values: Range, factor: float) -> Range:
    return Range(*(value * factor for value in values))


# ---------------------------------------------------------------- what is written
def rows(shares: list[Share]) -> list[dict[str, Any]]:
    """A row per hardware entry, ranges in three columns each."""
    found = []
    for share in shares:
        row: dict[str, Any] = {}
        for name, value in share._asdict().items():
            if isinstance(value, Range):
                row |= {f"{name}_{part}": number for part, number in value._asdict().items()}
            elif name == "grams":
                for zone, grams in value.items():
                    parts = grams._asdict().items()
                    row |= {f"gco2e_{zone}_{part}": number for part, number in parts}
            else:
                row[name] = value
        found.append(row)
    return found


def cell_rows(plan: Plan) -> list[dict[str, Any]]:
    """A row per cell: its labels and what is known of it."""
    return [
        {
            **each.cell._asdict(),
            "unsupported": each.unsupported,
            "infeasible": each.infeasible,
            "doubtful": each.doubtful,
            "slower": "; ".join(each.slower),
            "session_s": each.session.seconds if each.session else None,
            "session_gpu_j": each.session.joules if each.session else None,
            "not_predicted": each.unknown,
            "open": plan.open is not None and each.cell in plan.open.cells,
        }
        for each in plan.cells
    ]


def write(plan: Plan, folder: Path) -> None:
    """plan.tsv (per machine), cells.tsv (per cell) and plan.json (all) in a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, table in (("plan.tsv", rows(plan.shares)), ("cells.tsv", cell_rows(plan))):
        with open(folder / name, "w", encoding="utf-8", newline="") as stream:
            writer = csv.DictWriter(stream, list(table[0]), delimiter="\t", lineterminator="\n")
            writer.writeheader()
            writer.writerows(table)
    content: dict[str, Any] = {
        "study": plan.study,
        "jobs": [each._asdict() for each in plan.jobs],
        "hardware": rows(plan.shares),
        "cells": cell_rows(plan),
        "measure_first": [
            {"hardware": hardware, "engine": engine, "kernel": kernel, "cells": list(chosen)}
            for (hardware, engine, kernel), chosen in measured_first(plan.cells).items()
        ],
        "to_run": plan.to_run,
    }
    if plan.open is not None:
        content["open"] = {
            "jobs": [each._asdict() for each in plan.open.jobs],
            "hardware": rows(plan.open.shares),
        }
    text = json.dumps(content, indent=1, ensure_ascii=False)
    (folder / "plan.json").write_text(text + "\n", encoding="utf-8")
