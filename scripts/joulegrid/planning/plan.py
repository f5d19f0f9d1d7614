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
from joulegrid.planning import ranges
from joulegrid.planning.cells import Judged, Run, judged, measured_first
from joulegrid.planning.ranges import Forecast, Range
from joulegrid.planning.sharing import Saving
from joulegrid.records import ROOT
from joulegrid.study.accept import taken_over
from joulegrid.study.conclusions import conclusions
from joulegrid.study.grid import Cell
from joulegrid.study.shelf import Shelf, jobs_of
from joulegrid.study.specs import KINDS, Job, Specs
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
        cells, and of them those that no job is sent for, and those whose jobs are expected to
        find that they do not run.
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


class Plan(NamedTuple):
    """All of it; `to_run` are the paths of records that a run would make."""

    study: str
    jobs: list[Jobs]
    shares: list[Share]
    cells: list[Judged]
    to_run: list[str]


def of_study(specs: Specs, artifacts: str) -> Plan:
    """The plan of a study, given where its weights lie."""
    study, jobs = specs.study, list(jobs_of(specs))
    shelf = Shelf(artifacts, jobs)
    missing = {job.path for job in shelf.missing(jobs)}
    to_run = {job.path for job in shelf.to_make(jobs)}
    accepted = {taken.job.path for taken in taken_over(jobs, shelf)}
    sessions = [job for job in jobs if job.kind == "energy"]
    cells = judged(study, measured(sessions, shelf, missing))
    shares = [
        _share(
            label,
            [each for each in cells if each.cell.hardware == label],
            [job for job in sessions if Cell(*job.labels[:-1]).hardware == label],
            (missing, to_run, accepted),
            _factors(study, label),
        )
        for label in study.labels("hardware")
    ]
    kinds = {job.kind for job in jobs}
    counted = [_counted(k, jobs, missing, to_run, accepted) for k in KINDS if k in kinds]
    steps = conclusions(study, jobs)
    late = [
        name
        for name, step in steps.items()
        if missing or not (ROOT / "results/studies" / study.name / step.stamp).exists()
    ]
    counted.append(Jobs("steps", len(steps), len(steps) - len(late), 0, len(late)))
    return Plan(study.name, counted, shares, cells, sorted(to_run))


def measured(sessions: list[Job], shelf: Shelf, missing: set[str]) -> dict[Cell, list[Run]]:
    """What the sessions that are there say, findings and damaged ones left out."""
    records, found = Records(shelf), dict[Cell, list[Run]]()
    for job in sessions:
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


def _factors(study: Any, hardware: str) -> dict[str, float]:
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
    states: tuple[set[str], set[str], set[str]],
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
def rows(plan: Plan) -> list[dict[str, Any]]:
    """A row per hardware entry, ranges in three columns each."""
    found = []
    for share in plan.shares:
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
            "slower": "; ".join(each.slower),
            "session_s": each.session.seconds if each.session else None,
            "session_gpu_j": each.session.joules if each.session else None,
            "not_predicted": each.unknown,
        }
        for each in plan.cells
    ]


def write(plan: Plan, folder: Path, shared: list[Saving]) -> None:
    """plan.tsv (per machine), cells.tsv (per cell), sharing.tsv and plan.json (all) in a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    saved = [each._asdict() for each in shared]
    tables = {"plan.tsv": rows(plan), "cells.tsv": cell_rows(plan), "sharing.tsv": saved}
    for name, table in tables.items():
        write_table(table, folder / name)
    content = {
        "study": plan.study,
        "jobs": [each._asdict() for each in plan.jobs],
        "hardware": rows(plan),
        "cells": cell_rows(plan),
        "measure_first": [
            {"hardware": hardware, "engine": engine, "kernel": kernel, "cells": list(chosen)}
            for (hardware, engine, kernel), chosen in measured_first(plan.cells).items()
        ],
        "sharing": saved,
        "to_run": plan.to_run,
    }
    text = json.dumps(content, indent=1, ensure_ascii=False)
    (folder / "plan.json").write_text(text + "\n", encoding="utf-8")


def write_table(table: list[dict[str, Any]], path: Path) -> None:
    """A row per dict, with tabs; the columns are those of the first."""
    with open(path, "w", encoding="utf-8", newline="") as stream:
        fields = list(table[0]) if table else []
        writer = csv.DictWriter(stream, fields, delimiter="\t", lineterminator="\n")
        writer.writeheader()
        writer.writerows(table)
