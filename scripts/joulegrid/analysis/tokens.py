"""What a token costs that is read, and one that is written: sweeps over lengths, taken apart by
regression (the form of Wilkins, Keshav and Mortier 2024).

    e = a0 · read + a1 · written + a2 · read · written          J per request

for each session of a cell, by least squares of relative residuals: windows of short and of long
requests are equally well measured relative to their energy, and the long ones would decide alone.
Coefficients are means over sessions, with Student's interval of them: sessions are the replicates.
That interval holds what differs between sessions; how well the form fits is `misfit`.

Wilkins measured without a KV cache, where a2 is the prompt that is read anew for each token. With
one it is what reading the cache takes alone: a2 of his tables is none to compare with.
"""

from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import xarray as xr

from joulegrid.analysis.concluded import TOKENS
from joulegrid.analysis.energies import compared_energy
from joulegrid.analysis.statistics import mean_over_sessions
from joulegrid.study.grid import CELL_AXES

COEFFICIENTS = ("per_input_token", "per_output_token", "per_token_pair")
NOTHING = "no energy of at least three points"
ONE_KIND = "the points do not tell input from output: vary the lengths of both, or of one alone"
SEVERAL = "the points differ in concurrency too"


class Fit(NamedTuple):
    """Coefficients of `COEFFICIENTS` in J, NaN of a term that the points do not tell; the root of
    the mean squared relative residual.
    """

    coefficients: np.ndarray
    misfit: float


def fit(joules: np.ndarray, read: np.ndarray, written: np.ndarray) -> Fit | None:
    """The bilinear form over points; without its third term where they do not tell that.

    Parameters
    ----------
    joules, read, written
        of a request at each point: energy, prompt tokens, generated tokens.

    Returns
    -------
    None where there are not more points than terms, or they do not tell the terms apart.
    """
    design = np.stack([read, written, read * written], axis=1)
    for terms in (3, 2):
        columns = design[:, :terms] / np.abs(design[:, :terms]).max(axis=0)
        if len(joules) <= terms or np.linalg.matrix_rank(columns) < terms:
            continue
        found, *_ = np.linalg.lstsq(design[:, :terms] / joules[:, None], np.ones(len(joules)))
        residuals = design[:, :terms] @ found / joules - 1
        padded = np.append(found, np.full(3 - terms, np.nan))
        return Fit(padded, float(np.sqrt(np.mean(residuals**2))))
    return None


def account(tree: xr.DataTree, chosen: dict[str, Any]) -> xr.Dataset | None:
    """The group tokens over the cell axes, of workloads that are sweeps; None where none is.

    Parameters
    ----------
    chosen
        the study's ranking: `energy` and `net`, see `energies.compared_energy`.
    """
    if "points" not in tree.children:
        return None
    points, energy = tree["points"].to_dataset(), tree["energy"].to_dataset()
    about = energy[["basis", "idle_power", "idle_disturbed"]].sel(workload=points.workload)
    joules = compared_energy(
        about.assign(energy=points.energy, duration=points.duration),
        chosen["energy"],
        chosen["net"],
    )
    order = (*CELL_AXES, "session", "point")
    per_request = (joules.where(joules > 0) / points.requests).transpose(*order)
    cells = [points[axis] for axis in CELL_AXES]
    shape = [len(labels) for labels in cells]
    values, sessions = per_request.values, points.sizes["session"]
    fits = np.full((*shape, sessions, len(COEFFICIENTS)), np.nan)
    found = {
        "misfit": np.full((*shape, sessions), np.nan),
        "points": np.zeros(shape),
        "note": np.full(shape, "", "O"),
    }
    read, written, at_once = (
        points[name].transpose(*order).values
        for name in ("prompt_tokens", "new_tokens", "concurrency")
    )
    for cell in np.ndindex(*shape):
        measured = np.isfinite(values[cell]).any(axis=1)
        known = np.isfinite(values[cell][measured]).all(axis=0) & measured.any()
        found["points"][cell] = known.sum()
        found["note"][cell] = why = _why_not(known, at_once[cell])
        for session in np.flatnonzero(measured) if not why else ():
            at = (*cell, session)
            one = fit(values[at][known], read[at][known], written[at][known])
            if one is None:
                found["note"][cell] = ONE_KIND
            else:
                fits[at], found["misfit"][at] = one
    return _dataset(points, fits, found)


def _why_not(known: np.ndarray, at_once: np.ndarray) -> str:
    """Why no coefficients can be told, empty where they may."""
    if known.sum() < 3:
        return NOTHING
    differing = at_once[:, known]
    return SEVERAL if len(np.unique(differing[np.isfinite(differing)])) > 1 else ""


def _dataset(points: xr.Dataset, fits: np.ndarray, found: dict[str, np.ndarray]) -> xr.Dataset:
    coordinates = {axis: points[axis] for axis in CELL_AXES}
    in_sessions = [*CELL_AXES, "session"]
    arrays: dict[str, xr.DataArray] = {}
    for number, name in enumerate(COEFFICIENTS):
        values = xr.DataArray(fits[..., number], coordinates, in_sessions)
        estimate = mean_over_sessions(values)
        arrays[name], arrays[f"{name}_ci95"] = estimate["mean"], estimate["half_width"]
    misfit = xr.DataArray(found["misfit"], coordinates, in_sessions)
    arrays["misfit"], arrays["sessions"] = misfit.mean("session"), misfit.notnull().sum("session")
    for name in ("points", "note"):
        arrays[name] = xr.DataArray(found[name], coordinates, CELL_AXES)
    return xr.Dataset(
        {
            name: variable.described(arrays[name].astype(variable.dtype), *CELL_AXES)
            for name, variable in TOKENS.items()
        }
    )


def table(tokens: xr.Dataset) -> pd.DataFrame:
    """One row per cell that has points, with all variables of the group; SI units."""
    frame = tokens.reset_coords(drop=True).drop_attrs().to_dataframe(dim_order=list(CELL_AXES))
    return frame[list(TOKENS)].query("points > 0 or note != @NOTHING").reset_index()
