"""What a study was, in a few words and numbers: what was measured, and what it took."""

from typing import Any

import numpy as np
import xarray as xr

from joulegrid.analysis import carbon
from joulegrid.analysis.variables import STATUS
from joulegrid.units import J_PER_KWH

# Names in a sentence; more are counted
MOST_NAMES = 4
# What people call the jobs of a kind
JOBS = {
    "training": "fine-tuning",
    "trained": "merging adapters",
    "pruned": "pruning",
    "weights": "quantizing",
    "quality": "evaluating quality",
    "texts": "generating answers",
    "scores": "scoring answers",
    "judgments": "judging answers",
    "energy": "measuring energy",
}


def measured(tree: xr.DataTree) -> str:
    """How many cells were measured in how many sessions, when, of what, on what, with what."""
    energy = tree["energy"].to_dataset()
    done = energy.status == STATUS.index("ok")
    due = (energy.status != STATUS.index("excluded")).any("session")
    cells, all_cells = int(done.any("session").sum()), int(due.sum())
    if not cells:
        return "Nothing is measured yet."
    of = "" if cells == all_cells else f" of {all_cells:,}"
    counted = f"{cells:,}{of} cell{'s' if all_cells > 1 else ''} in {int(done.sum()):,} sessions"
    days = sorted({str(text)[:10] for text in energy.started.values[done.values]} - {""})
    when = " to ".join(dict.fromkeys([days[0], days[-1]])) if days else "at an unknown time"
    labels = {
        axis: [str(label) for label in energy[axis].values[done.any(_all_but(done, axis)).values]]
        for axis in ("model", "hardware", "engine", "workload")
    }
    labels["hardware"] = [f"{name}{_devices(energy, name)}" for name in labels["hardware"]]
    labels["workload"] = [f"{name}{_lengths(tree, name)}" for name in labels["workload"]]
    told = [f"{axis} {_listed(names)}" for axis, names in labels.items()]
    return f"Measured {when}: {counted}; {'; '.join(told)}."


def _all_but(array: xr.DataArray, axis: str) -> list[Any]:
    return [dim for dim in array.dims if dim != axis]


def _listed(names: list[str]) -> str:
    rest = len(names) - MOST_NAMES
    return ", ".join(names[:MOST_NAMES]) + (f" and {rest} more" if rest > 0 else "")


def _devices(energy: xr.Dataset, hardware: str) -> str:
    """The GPUs that a label stood for, or where it has none, the CPUs."""
    one = energy.sel(hardware=hardware)
    for key in ("gpu", "cpu"):
        names = sorted({str(name) for name in one[key].values.ravel()} - {""})
        if names:
            return f" ({' or '.join(names)})"
    return ""


def _lengths(tree: xr.DataTree, workload: str) -> str:
    """Requests of one run, and the medians of their lengths, where all cells have the same."""
    if "lengths" not in tree.children:
        return ""
    middle = tree["lengths"].to_dataset().sel(workload=workload, quantile=0.5)
    found = {}
    for name in ("requests", "prompt_tokens", "new_tokens"):
        values = np.unique(middle[name].values[np.isfinite(middle[name].values)])
        if len(values) != 1:
            return ""
        found[name] = f"{values[0]:.6g}"
    return (
        f" ({found['requests']} requests of {found['prompt_tokens']} prompt and "
        f"{found['new_tokens']} generated tokens, median)"
    )


def cost(tree: xr.DataTree) -> dict[str, Any]:
    """What the study itself took, by kind of job, and where there are several, of all at the end.

    Returns
    -------
    `time` and `energy`, units in which the numbers are of people's size; `rows` with `kind`,
    `jobs`, `time`, `energy`, and `grams` of CO2e in each zone; no rows where nothing was spent.
    """
    spent, zones = tree["cost"].to_dataset(), tree["carbon"].intensity
    parts = [(JOBS[str(kind)], spent.sel(kind=kind)) for kind in spent.kind.values]
    whole = spent.sum("kind", min_count=1)
    if len(parts) > 1:
        parts.append(("all", whole))
    time, seconds = ("hours", 3600) if float(whole.duration) >= 3600 else ("minutes", 60)
    energy, joules = ("kWh", J_PER_KWH) if float(whole.energy) >= J_PER_KWH else ("Wh", 3600)
    rows = [
        {
            "kind": kind,
            "jobs": int(one.jobs),
            "time": float(one.duration) / seconds,
            "energy": _known(float(one.energy) / joules),  # NaN where it is not known
            "grams": {
                str(zone): _known(carbon.emissions_g(float(one.energy), intensity))
                for zone, intensity in zip(zones.zone.values, zones.values.tolist(), strict=True)
            },
        }
        for kind, one in parts
    ]
    return {"time": time, "energy": energy, "rows": rows}


def _known(value: float) -> float | None:
    return None if np.isnan(value) else value
