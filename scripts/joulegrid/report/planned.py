"""What the plan said before, beside what was measured."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

from joulegrid.analysis.variables import BASIS
from joulegrid.study.grid import CELL_AXES

# heading, key of what was said
QUANTITIES = {"GPU energy per token": "gpu_j_per_token", "time per token": "s_per_token"}


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
