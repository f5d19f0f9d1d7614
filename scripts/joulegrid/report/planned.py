"""What the plan said: when it was asked last, and before, beside what was measured."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from joulegrid.analysis.variables import BASIS
from joulegrid.planning.words import text, zone
from joulegrid.study.grid import CELL_AXES

# heading, key of what was said
QUANTITIES = {"GPU energy per token": "gpu_j_per_token", "time per token": "s_per_token"}
# quantity of the plan -> heading; those of its zones and of money come behind
TAKES = {
    "hours": "hours",
    "wall_hours": "hours of wall time",
    "gpu_hours": "GPU hours",
    "gpu_kwh": "kWh of the GPUs",
    "host_kwh": "kWh of CPU and memory",
}
ZONE, OTHER_STARTS = "gco2e_", ("_best_yesterday", "_best_start")
COUNTS = ("cells", "unsupported", "infeasible", "sessions", "there", "accepted", "to_run")
JOBS = ("kind", "jobs", "there", "accepted", "to_run")


def as_asked(plan: Mapping[str, Any]) -> dict[str, Any]:
    """What a run would take by the plan that was asked last.

    Parameters
    ----------
    plan
        as plan.json has it.

    Returns
    -------
    `part` of the study, empty of all of it; `today`, what CO2e of jobs begun now rests on; `jobs`,
    a row of `JOBS` per kind; `headings`, and `rows` per hardware entry and in total: name, `counts`
    and `takes` as texts, what it `rests_on`. Nothing where there was no plan.
    """
    if not plan.get("hardware"):
        return {}
    total = {row["quantity"]: row for row in plan["total"]}
    zones = [name for name in total if name.startswith(ZONE) and not name.endswith(OTHER_STARTS)]
    names = {name: heading for name, heading in TAKES.items() if name in total}
    names |= {name: f"g CO₂e in {zone(name.removeprefix(ZONE))}" for name in zones}
    names |= {"money": plan["currency"]} if "money" in total else {}
    rows = [
        {
            "name": row["hardware"],
            "counts": [row[count] for count in COUNTS],
            "takes": [_range(row, f"{name}_") for name in names],
            "rests_on": row["rests_on"],
        }
        for row in plan["hardware"]
    ]
    in_total = {
        "name": "in total",
        "counts": [sum(row["counts"][place] for row in rows) for place in range(len(COUNTS))],
        "takes": [_range(total[name]) for name in names],
        "rests_on": "sessions and all other jobs that are predicted",
    }
    return {
        "part": plan.get("only", ""),
        "today": plan.get("today", ""),
        "jobs": [[row[key] for key in JOBS] for row in plan["jobs"]],
        "headings": list(names.values()),
        "rows": [*rows, in_total],
    }


def _range(row: Mapping[str, Any], prefix: str = "") -> str:
    low, median, high = (row.get(f"{prefix}{part}") for part in ("low", "median", "high"))
    if low is None or median is None or high is None:
        return "–"
    return text((low, median, high))


def beside(tree: xr.DataTree, said: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """For each hardware label and quantity how what was measured lies to what was said before.

    Parameters
    ----------
    said
        as `planning.beforehand` keeps it: of cells before anything of them was measured.

    Returns
    -------
    Rows with `hardware`, `quantity`, `cells` that were compared, `inside` of them within their 80 %
    range, `ratio`, the median of measured over predicted, and `rests_on`.
    """
    measured = _measured(tree["energy"].to_dataset())
    found = []
    for hardware in dict.fromkeys(row["hardware"] for row in said):
        rows = [row for row in said if row["hardware"] == hardware]
        for quantity, key in QUANTITIES.items():
            pairs = [(row[key], _value(measured[key], row)) for row in rows if row[key]]
            known = [(said_of, value) for said_of, value in pairs if np.isfinite(value)]
            if known:
                found.append(
                    {
                        "hardware": hardware,
                        "quantity": quantity,
                        "cells": len(known),
                        "inside": sum(low <= value <= high for (low, _, high), value in known),
                        "ratio": float(np.median([value / s[1] for s, value in known])),
                        "rests_on": ", ".join(sorted({row["rests_on"] for row in rows})),
                    }
                )
    return found


def _measured(energy: xr.Dataset) -> dict[str, xr.DataArray]:
    """Means over sessions per generated token; of GPUs that counters read."""
    gpu = energy.energy.sel(component="gpu", drop=True)
    counted = energy.basis.sel(component="gpu", drop=True) == BASIS.index("measured")
    return {
        "gpu_j_per_token": (gpu.where(counted) / energy.tokens_written).mean("session"),
        "s_per_token": (energy.duration / energy.tokens_written).mean("session"),
    }


def _value(values: xr.DataArray, row: dict[str, Any]) -> float:
    """Of a cell; NaN of one that is no longer in the study."""
    at = {axis: row[axis] for axis in CELL_AXES}
    if any(label not in values[axis].values for axis, label in at.items()):
        return float("nan")
    return float(values.sel(at))
