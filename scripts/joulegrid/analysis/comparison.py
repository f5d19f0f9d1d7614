"""Compare cells by R = w·φ + (1 − w)·ρ (Tran, Jaumard and Delgado 2025, arXiv 2503.17783), within
places.

The axes that the study's baseline names are compared; all others are places. Within a place
everything is relative to the baseline cell, which has φ = ρ = R = 0, so that 0 is "as the
baseline", +0.1 "ten percent better", and w trades like for like:

    φ = (E_base − E) / |E_base|                         energy saved per generated token
    ρ = mean over metrics of ± (q − q_base) / |q_base|  + where higher is better, − where lower is
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from joulegrid.analysis import statistics
from joulegrid.analysis.statistics import mean_over_sessions
from joulegrid.analysis.variables import RANKING, STATUS
from joulegrid.study.grid import CELL_AXES, CONFIGURATION_AXES

MADE = ["size", "sparsity", "making_time", "making_energy"]
PHASES = ("energy_per_prompt_token", "energy_per_decoded_token")
NOTED = ["status", "efficiency", "quality", "disturbed", "other_board"]
NO_BASELINE = "no energy of the baseline in this place"
DISTURBED = "measured while disturbed"
OTHER_BOARD = "on another board than the baseline"
NO_METRIC = "a quality metric is missing here or for the baseline"


def relative_change(value: xr.DataArray, base: xr.DataArray) -> xr.DataArray:
    """(value − base) / |base|; NaN where the base is 0 and nothing is relative to it."""
    return (value - base) / abs(base).where(base != 0)


def efficiency(joules: xr.DataArray, baseline: dict[str, str]) -> xr.DataArray:
    """φ of every cell. `baseline` maps the compared axes to labels."""
    return 0 - relative_change(joules, joules.sel(baseline, drop=True))


def relative_quality(
    quality: xr.Dataset, baseline: dict[str, str], metrics: list[str]
) -> xr.DataArray:
    """ρ, the mean over `metrics` of the relative change for the better against the baseline.

    NaN where one of the metrics is missing: a mean over fewer metrics could not be compared.
    """
    chosen = quality.sel(metric=metrics)
    own = {axis: label for axis, label in baseline.items() if axis in CONFIGURATION_AXES}
    change = relative_change(chosen.quality, chosen.quality.sel(own, drop=True))
    return xr.where(chosen.direction == 1, change, -change).mean("metric", skipna=False)


def compare(tree: xr.DataTree, chosen: dict[str, Any]) -> xr.Dataset:
    """φ, ρ, R, rank and Pareto front of every cell, within its place.

    Parameters
    ----------
    chosen
        the study's ranking: `weight`, w, of energy, from 0 (quality alone) to 1 (energy alone);
        `baseline`, axis -> label of the compared axes; `metrics`; `energy` and `net`, see
        `statistics.compared_energy`.

    Returns
    -------
    Dataset over the cell axes with the variables of `variables.RANKING`. Rank 1 is best; cells that
    sessions cannot tell apart share a rank; NaN where a cell has no score.
    """
    weight, baseline, metrics = chosen["weight"], chosen["baseline"], chosen["metrics"]
    energy = tree["energy"].to_dataset()
    sessions = statistics.per_token(energy, chosen["energy"], chosen["net"])
    joules = mean_over_sessions(sessions)
    phi = efficiency(joules["mean"], baseline)
    rho = relative_quality(tree["quality"].to_dataset(), baseline, metrics)
    phi, rho = xr.broadcast(phi, rho)
    board = statistics.boards(energy)
    half, probability = _sureness(sessions, board, baseline)
    score = _score(phi, rho, weight)
    found = {
        "energy_per_token": joules["mean"],
        "energy_per_token_ci95": joules["half_width"],
        "efficiency": phi,
        "efficiency_ci95": half,
        "saves_probability": probability,
        "quality": rho,
        "score": score,
        "score_ci95": weight * half.where(score.notnull()),
        "rank": _by_place(
            _ranks, baseline, _score(efficiency(sessions, baseline), rho, weight), board
        ),
        "pareto": _by_place(pareto_front, baseline, joules["mean"], rho),
        "estimated_share": statistics.estimated_share(energy).mean("session"),
        "disturbed": energy.disturbed.mean("session"),
        "other_board": _on_other_board(board, baseline),
    }
    return xr.Dataset(
        {
            name: found[name].transpose(*CELL_AXES).assign_attrs(v.attrs)
            for name, v in RANKING.items()
        },
        coords={axis: tree["energy"][axis].values for axis in CELL_AXES},
        attrs={
            "weight": weight,
            "metrics": " ".join(metrics),
            "energy": chosen["energy"],
            "net": int(chosen["net"]),
            **{f"baseline_{k}": v for k, v in baseline.items()},
        },
    )


def _score(phi: xr.DataArray, rho: xr.DataArray, weight: float) -> xr.DataArray:
    """R. A weight of 1 ranks on energy alone, also where no quality is known."""
    if weight == 1:
        return phi
    return rho.where(phi.notnull()) if weight == 0 else weight * phi + (1 - weight) * rho


def _ranks(scores: np.ndarray, board: np.ndarray) -> np.ndarray:
    """Ranks of (places, cells) out of (places, cells, sessions)."""
    rows = zip(scores, board, strict=True)
    return np.array([statistics.ranks(score.T, text.T) for score, text in rows])


def _sureness(
    sessions: xr.DataArray, board: xr.DataArray, baseline: dict[str, str]
) -> tuple[xr.DataArray, xr.DataArray]:
    """Half width of φ's interval, and the probability that a cell saves energy."""
    base = xr.broadcast(sessions.sel(baseline, drop=True), sessions)[0].transpose(*sessions.dims)
    same = board == board.sel(baseline, drop=True)
    arrays = [array.transpose("session", ...) for array in (sessions, base, same)]
    cells = arrays[0].isel(session=0, drop=True)
    found = statistics.saving(*(array.values for array in arrays))
    half, sure = (cells.copy(data=values) for values in found)
    return half, sure


def _on_other_board(board: xr.DataArray, baseline: dict[str, str]) -> xr.DataArray:
    """1 where a session ran on another board than the same session of the baseline."""
    base = board.sel(baseline, drop=True)
    return ((board != base) & (board != "") & (base != "")).any("session").astype("f8")


def _by_place(
    compute: Callable[..., np.ndarray], baseline: dict[str, str], *arrays: xr.DataArray
) -> xr.DataArray:
    """`compute` on arrays of shape (places, compared cells, …), spread over the cell axes again."""
    compared = [axis for axis in CELL_AXES if axis in baseline]
    places = [axis for axis in CELL_AXES if axis not in baseline]
    full = [array.transpose(*places, *compared, ...) for array in xr.broadcast(*arrays)]
    shape, rest = full[0].shape[: len(CELL_AXES)], full[0].shape[len(CELL_AXES) :]
    cells = int(np.prod(shape[len(places) :]))
    result = compute(*(array.values.reshape(-1, cells, *rest) for array in full))
    dims = (*places, *compared)
    coords = {axis: full[0][axis] for axis in dims}
    return xr.DataArray(np.asarray(result, "f8").reshape(shape), dims=dims, coords=coords)


def pareto_front(energy: np.ndarray, quality: np.ndarray) -> np.ndarray:
    """1 where no other cell of the same row is as good in energy and quality and better in one, 0
    where one is.

    Parameters
    ----------
    energy, quality
        shape (places, cells); less energy and more quality is better. NaN where either is not
        known.
    """
    front = np.full(energy.shape, np.nan)
    for row, (e, q) in enumerate(zip(energy, quality, strict=True)):
        known = np.flatnonzero(np.isfinite(e) & np.isfinite(q))
        e, q = e[known], q[known]
        as_good = (e[:, None] <= e) & (q[:, None] >= q)
        better = (e[:, None] < e) | (q[:, None] > q)
        front[row, known] = ~(as_good & better).any(axis=0)
    return front


def table(tree: xr.DataTree, ranking: xr.Dataset) -> pd.DataFrame:
    """One row per cell of the study, place by place, best first; cells without a score last, with
    the reason.

    Beside what was compared: tokens per second, bytes of the loaded weights and of their files, the
    share of zeros, what
    making them cost (s, J), and the kernels that ran. Zeros in a dense kernel are multiplied like
    any other number.
    """
    energy, quality, made = (tree[name].to_dataset() for name in ("energy", "quality", "weights"))
    places = [axis for axis in CELL_AXES if f"baseline_{axis}" not in ranking.attrs]
    index = pd.MultiIndex.from_product(
        [ranking[axis].values for axis in CELL_AXES], names=CELL_AXES
    )
    columns = {name: _flat(ranking[name]) for name in ranking.data_vars}
    frame = pd.DataFrame({"rank": columns.pop("rank"), **columns}, index=index)
    frame["sessions"] = _flat((energy.status == STATUS.index("ok")).sum("session"))
    frame["tokens_per_s"] = _flat((energy.tokens_written / energy.duration).mean("session"))
    for name, values in zip(PHASES, statistics.by_phase(energy), strict=True):
        frame[name] = _flat(values.mean("session"))
    frame["weights_size"] = _flat(energy.weights_size.max("session"))
    for name in ("kernel", "gpu", "reason"):
        frame[name] = _flat(_first_text(energy[name]))
    frame = frame.join(made[MADE].to_dataframe(), on=list(CONFIGURATION_AXES))
    frame = frame.join(quality.quality.to_series().unstack("metric"), on=list(CONFIGURATION_AXES))
    # of several sessions the best status: one that is there can be compared
    frame["status"] = [STATUS[code] for code in _flat(energy.status.min("session"))]
    frame = frame[frame.status != "excluded"]
    frame["note"] = [_note(row) for row in frame[NOTED].itertuples(index=False)]
    frame["rank"] = frame["rank"].astype("Int64")
    frame = frame.reset_index().sort_values("score", ascending=False, kind="stable")
    return frame.sort_values(
        [*places, "rank"], na_position="last", ignore_index=True, kind="stable"
    )


def _flat(array: xr.DataArray) -> np.ndarray:
    return array.transpose(*CELL_AXES).values.ravel()


def _first_text(array: xr.DataArray) -> xr.DataArray:
    """Of several sessions the first text that is not empty."""
    return array.reduce(
        lambda values, axis: np.maximum.reduce(values.astype(str).astype("O"), axis=axis), "session"
    )


def _note(row: Any) -> str:
    if row.status != "ok":
        return row.status
    said = []
    if np.isnan(row.efficiency):
        said.append(NO_BASELINE)
    elif np.isnan(row.quality):
        said.append(NO_METRIC)
    if row.disturbed > 0:
        said.append(DISTURBED)
    if row.other_board == 1:
        said.append(OTHER_BOARD)
    return "; ".join(said)
