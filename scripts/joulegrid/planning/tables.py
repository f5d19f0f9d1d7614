"""The plan as tables: per machine, per kind of job, per cell, and in total."""

import csv
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from joulegrid.planning import ranges
from joulegrid.planning.beforehand import said_before
from joulegrid.planning.cells import Judged
from joulegrid.planning.plan import Load, Plan, Share
from joulegrid.planning.ranges import Range, times
from joulegrid.planning.sharing import Saving
from joulegrid.planning.takes import Takes

GIGA = 1e9
ZONES = {
    "grams": "gco2e_{}",
    "best_yesterday": "gco2e_{}_best_yesterday",
    "best_start": "gco2e_{}_best_start",
}
UNITS = {"hours": "h", "kwh": "kWh", "gb": "GB"}
OPEN = "open, at most: "  # before quantities of what a selection may add
Row = dict[str, Any]


def rows(shares: Iterable[Share]) -> list[Row]:
    """A row per hardware entry, ranges in three columns each."""
    return [
        {
            key: value
            for name, part in share._asdict().items()
            for key, value in (
                _of_takes(part).items() if isinstance(part, Takes) else {name: part}.items()
            )
        }
        for share in shares
    ]


def job_rows(load: Plan | Load) -> list[Row]:
    """A row per kind of job; what sessions take stands in the rows per hardware entry."""
    found = []
    for jobs in load.jobs:
        effort = load.efforts.get(jobs.kind)
        row: Row = jobs._asdict()
        if effort is not None:
            row |= {"predicted": effort.predicted, **_three("hours", effort.hours)}
            row |= {**_three("gpu_kwh", effort.gpu_kwh), **_three("host_kwh", effort.host_kwh)}
            row["rests_on"] = effort.rests_on
        elif jobs.kind == "energy":
            row["predicted"] = sum(share.predicted for share in load.shares)
        found.append(row)
    return found


def cell_rows(plan: Plan) -> list[Row]:
    """A row per cell: its labels and what is known of it."""
    return [
        {
            **each.cell._asdict(),
            "unsupported": each.unsupported,
            "infeasible": each.infeasible,
            "doubtful": each.doubtful,
            "slower": "; ".join(each.slower),
            **_of_session(each),
            "not_predicted": each.unknown,
            "open": each.cell in plan.waiting,
        }
        for each in plan.cells
    ]


def _of_session(each: Judged) -> Row:
    """What one session takes, and what that rests on."""
    said = each.session
    return {
        **_three("session_s", ranges.seconds([said]) if said else None),
        **_three("session_gpu_j", ranges.joules([said]) if said and each.gpus else None),
        "rests_on": said.rests_on if said else "",
    }


def total_rows(plan: Plan) -> list[Row]:
    """A row per quantity of all that is planned, and of what is open at most: what, unit, 80 %
    range.
    """
    found = _total(plan, plan.currency)
    if plan.open is not None:
        found += [(OPEN + name, unit, v) for name, unit, v in _total(plan.open, plan.currency)]
    return [{"quantity": name, "unit": unit, **v._asdict()} for name, unit, v in found]


def _total(load: Plan | Load, currency: str) -> list[tuple[str, str, Range]]:
    """Quantity, unit and range of all of some jobs."""
    found = [("sessions to run", "1", _exactly(sum(share.to_run for share in load.shares)))]
    found.append(("jobs to run", "1", _exactly(sum(jobs.to_run for jobs in load.jobs))))
    for name, values in _flat(load.total):
        if values is None:
            continue
        unit = UNITS.get(name.rsplit("_", 1)[-1], "g" if name.startswith("gco2e") else "")
        found.append((name, unit or currency, values))
        if name == "host_kwh":
            found.append(("parts without host_kwh", "1", _exactly(len(host_unknown(load)))))
    for name, known in (("weights written", load.written), ("weights fetched", load.fetched)):
        found.append((name, "GB", times(known.size, 1 / GIGA)))
        found.append((f"{name}, of unknown size", "1", _exactly(known.unknown)))
    if judges := load.judges:
        found.append(("requests to judges", "1", _exactly(judges.requests)))
        found += [("tokens read by judges", "1", judges.read)]
        found += [("tokens written by judges", "1", judges.written)]
        found += [("judges", "USD", judges.usd)] if judges.usd else []
    return found


def host_unknown(load: Plan | Load) -> list[str]:
    """Hardware entries and kinds of other jobs that are predicted without CPU and memory; of a kind
    of which only some are, how many.
    """
    known = [share for share in load.shares if share.predicted or share.timed]
    found = [share.hardware for share in known if share.takes.host_kwh is None]
    for kind, made in load.efforts.items():
        if left := made.predicted - made.metered:
            found.append(f"{kind} ({left} of {made.predicted})" if made.metered else kind)
    return found


def calibration_rows(plan: Plan) -> list[Row]:
    """A row per hardware entry, engine and kernel of which something was measured."""
    return [
        {"hardware": hardware, "engine": engine, "kernel": kernel, **told._asdict()}
        for (hardware, engine, kernel), told in plan.calibrated.items()
    ]


def write(plan: Plan, folder: Path, shared: Iterable[Saving] = ()) -> None:
    """plan.tsv (per machine), jobs.tsv (per kind), cells.tsv, total.tsv, sharing.tsv,
    calibration.tsv and plan.json (all) in a folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tables = {
        "plan.tsv": rows(plan.shares),
        "jobs.tsv": job_rows(plan),
        "cells.tsv": cell_rows(plan),
        "total.tsv": total_rows(plan),
        "sharing.tsv": [each._asdict() for each in shared],
        "calibration.tsv": calibration_rows(plan),
    }
    for name, table in tables.items():
        write_table(table, folder / name)
    content: dict[str, Any] = {
        "study": plan.study,
        **({"only": plan.part} if plan.part else {}),
        "jobs_at_a_time": plan.at_a_time,
        "currency": plan.currency,
        **({"today": plan.today} if plan.today else {}),
        "jobs": tables["jobs.tsv"],
        "hardware": tables["plan.tsv"],
        "total": tables["total.tsv"],
        "without_host_kwh": host_unknown(plan),
        "cells": tables["cells.tsv"],
        "measure_first": [
            {"hardware": hardware, "engine": engine, "kernel": kernel, "cells": list(chosen)}
            for (hardware, engine, kernel), chosen in plan.first.items()
        ],
        "calibration": tables["calibration.tsv"],
        "said_before": said_before(plan.cells, folder / "plan.json", bool(plan.part)),
        "sharing": tables["sharing.tsv"],
        "doubtful": plan.doubtful,
        "to_run": plan.to_run,
    }
    if plan.open is not None:
        content["open"] = {
            "jobs": job_rows(plan.open),
            "hardware": rows(plan.open.shares),
            "without_host_kwh": host_unknown(plan.open),
        }
    text = json.dumps(content, indent=1, ensure_ascii=False)
    (folder / "plan.json").write_text(text + "\n", encoding="utf-8")


def write_table(table: list[Row], path: Path) -> None:
    """A row per dict, with tabs."""
    keys = dict.fromkeys(key for row in table for key in row)
    with open(path, "w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, list(keys), delimiter="\t", lineterminator="\n")
        writer.writeheader()
        writer.writerows(table)


def _of_takes(takes: Takes) -> Row:
    return {
        key: value for name, values in _flat(takes) for key, value in _three(name, values).items()
    }


def _flat(takes: Takes) -> Iterable[tuple[str, Range | None]]:
    """Names and ranges, zones one by one."""
    for name, value in takes._asdict().items():
        if name in ZONES:
            yield from ((ZONES[name].format(zone), grams) for zone, grams in value.items())
        else:
            yield name, value


def _three(name: str, values: Range | None) -> Row:
    parts = values._asdict() if values is not None else dict.fromkeys(Range._fields)
    return {f"{name}_{part}": number for part, number in parts.items()}


def _exactly(count: float) -> Range:
    return Range(count, count, count)
