"""Rank cells by R = w·φ + (1 − w)·ρ (Tran, Jaumard and Delgado 2025, arXiv 2503.17783).

The paper defines φ as the energy efficiency relative to the base model and ρ as the mean of the quality metrics.
joulegrid takes both relative to the same baseline configuration, so that they have one scale on which 0 is "as the
baseline", +0.1 is "ten percent better" and w trades like for like:

    φ = 1 − E / E_base                           share of the baseline's energy that is saved
    ρ = mean over metrics of (q / q_base − 1)    for metrics where higher is better (accuracy)
        mean over metrics of (q_base / q − 1)    for metrics where lower is better (perplexity)

E is the energy per generated token of the cell, E_base that of the baseline configuration of the same model on the same
hardware, engine and workload. The baseline has φ = ρ = R = 0.
"""

import numpy as np
import pandas as pd
import xarray as xr
from scipy import stats

from joulegrid.study.grid import CELL_AXES, CONFIGURATION_AXES

MADE = ["size", "sparsity", "making_time", "making_energy"]
NO_ENERGY_BASELINE = "no energy of the baseline on this hardware, engine and workload"


def energy_per_token(energy: xr.Dataset) -> xr.Dataset:
    """Mean and 95 % interval over the repeats of the energy per generated token.

    Returns
    -------
    `mean` and `half_width` in J per token: the interval is mean ± half_width, by Student's t over the repeats; with
    one repeat there is no interval (NaN).
    """
    ratio = energy.energy.sum("component", skipna=False) / energy.tokens_written
    repeats = ratio.notnull().sum("repeat")
    mean = ratio.mean("repeat")
    quantile = xr.apply_ufunc(lambda n: stats.t.ppf(0.975, np.maximum(n - 1, 1)), repeats)
    half = (quantile * ratio.std("repeat", ddof=1) / np.sqrt(repeats)).where(repeats > 1)
    return xr.Dataset({"mean": mean, "half_width": half})


def efficiency(joules: xr.DataArray, baseline: dict[str, str]) -> xr.DataArray:
    """φ = 1 − E / E_base. `baseline` maps training, pruning and quantization to labels."""
    return 1 - joules / joules.sel(baseline, drop=True)


def relative_quality(quality: xr.Dataset, baseline: dict[str, str], metrics: list[str]) -> xr.DataArray:
    """ρ, the mean over `metrics` of the relative change for the better against the baseline.

    NaN where one of the metrics is missing, or is 0 where it divides: a mean over fewer metrics could not be compared.
    """
    chosen = quality.sel(metric=metrics)
    base = chosen.quality.sel(baseline, drop=True)
    higher = (chosen.quality / base.where(base != 0)) - 1
    lower = (base / chosen.quality.where(chosen.quality != 0)) - 1
    return xr.where(chosen.direction == 1, higher, lower).mean("metric", skipna=False)


def rank(tree: xr.DataTree, weight: float, baseline: dict[str, str], metrics: list[str]) -> xr.Dataset:
    """φ, ρ, R and rank of every cell.

    Parameters
    ----------
    weight
        w, the weight of energy, from 0 (quality alone) to 1 (energy alone).

    Returns
    -------
    Dataset over the cell axes: energy_per_token and its interval (J), efficiency, quality, score, rank (1 is best;
    equal scores share the better rank; NaN where a cell has no score) and pareto (see pareto_front).
    """
    joules = energy_per_token(tree["energy"].to_dataset())
    phi = efficiency(joules["mean"], baseline)
    rho = relative_quality(tree["quality"].to_dataset(), baseline, metrics)
    phi, rho = xr.broadcast(phi, rho)
    # a weight of 1 must rank on energy alone, also where no quality is known
    score = phi if weight == 1 else rho.where(phi.notnull()) if weight == 0 else weight * phi + (1 - weight) * rho
    phi, rho, score = (array.transpose(*CELL_AXES) for array in (phi, rho, score))
    ranks = stats.rankdata(-score.values, method="min", nan_policy="omit").reshape(score.shape)
    dataset = xr.Dataset(
        {
            "energy_per_token": (
                joules["mean"].dims,
                joules["mean"].values,
                _attrs("energy per generated token", "J"),
            ),
            "energy_per_token_ci95": (
                joules["half_width"].dims,
                joules["half_width"].values,
                _attrs("half width of the 95 % interval of the energy per generated token", "J"),
            ),
            "efficiency": (CELL_AXES, phi.values, _attrs("phi, energy saved relative to the baseline", "1")),
            "quality": (CELL_AXES, rho.values, _attrs("rho, mean relative change of quality", "1")),
            "score": (CELL_AXES, score.values, _attrs("R = w phi + (1 - w) rho", "1")),
            "rank": (CELL_AXES, ranks, _attrs("rank, 1 is best", "1")),
        },
        coords={axis: tree["energy"][axis].values for axis in CELL_AXES},
        attrs={
            "weight": weight,
            "metrics": " ".join(metrics),
            **{f"baseline_{k}": v for k, v in baseline.items()},
        },
    )
    front = pareto_front(joules["mean"].transpose(*CELL_AXES), rho)
    dataset["pareto"] = (CELL_AXES, front.values, _attrs("on the energy-quality Pareto front", "1"))
    return dataset


def _attrs(long_name: str, units: str) -> dict[str, str]:
    return {"long_name": long_name, "units": units}


def pareto_front(joules: xr.DataArray, quality: xr.DataArray) -> xr.DataArray:
    """The Pareto front of every model on every hardware, engine and workload.

    1 where no other configuration of the same model there is at least as good in energy and quality and better in one,
    0 where there is one, NaN where energy or quality is not known. Quality is relative to each model's own baseline, so
    that configurations of two models cannot be compared by it.
    """
    compared = [axis for axis in CONFIGURATION_AXES if axis != "model"]
    places = [axis for axis in CELL_AXES if axis not in compared]
    table = xr.Dataset({"e": joules, "q": quality}).stack(place=places, configuration=compared)
    energy, value = (table[name].transpose("place", "configuration").values for name in "eq")
    front = np.full(energy.shape, np.nan)
    for row in range(len(front)):
        known = np.flatnonzero(np.isfinite(energy[row]) & np.isfinite(value[row]))
        e, q = energy[row, known], value[row, known]
        # by falling quality, then rising energy: a cell is on the front where it needs less than all before it,
        # or is the exact twin of the last one that did
        last = (np.inf, np.nan)
        for i in np.lexsort((e, -q)):
            front[row, known[i]] = float(e[i] < last[0] or (e[i], q[i]) == last)
            if e[i] < last[0]:
                last = (e[i], q[i])
    stacked = xr.DataArray(front, coords={"place": table.place, "configuration": table.configuration})
    return stacked.unstack().transpose(*CELL_AXES).reindex_like(joules)


def table(tree: xr.DataTree, ranking: xr.Dataset) -> pd.DataFrame:
    """One row per cell of the study, best first; cells without a score last, with the reason.

    Beside what was ranked: tokens per second, bytes of the loaded weights and of their files, the share of zeros, what
    making them cost (s, J), and the kernels that ran. Zeros in a dense kernel are multiplied like any other number.
    """
    energy, quality, made = (tree[name].to_dataset() for name in ("energy", "quality", "checkpoints"))
    status = energy.status.values.ravel()
    meanings = energy.status.attrs["flag_meanings"].split()
    index = pd.MultiIndex.from_product([ranking[axis].values for axis in CELL_AXES], names=CELL_AXES)
    columns = {name: ranking[name].transpose(*CELL_AXES).values.ravel() for name in ranking.data_vars}
    frame = pd.DataFrame({"rank": columns.pop("rank"), **columns}, index=index)
    rate = (energy.tokens_written / energy.duration).mean("repeat")
    frame["tokens_per_s"] = rate.transpose(*CELL_AXES).values.ravel()
    for name in ("weights_size", "kernel"):
        frame[name] = energy[name].transpose(*CELL_AXES).values.ravel()
    frame = frame.join(made[MADE].to_dataframe(), on=list(CONFIGURATION_AXES))
    metrics = quality.quality.to_series().unstack("metric")
    frame = frame.join(metrics, on=list(CONFIGURATION_AXES))
    frame["status"] = [meanings[i] for i in status]
    frame = frame[frame.status != "excluded"]
    frame["note"] = [_note(row) for row in frame[["status", "efficiency", "quality"]].itertuples(index=False)]
    frame["rank"] = frame["rank"].astype("Int64")
    return frame.sort_values(["rank", *CELL_AXES], na_position="last").reset_index()


def _note(row) -> str:
    if row.status != "ok":
        return row.status
    if np.isnan(row.efficiency):
        return NO_ENERGY_BASELINE
    return "a quality metric is missing here or for the baseline" if np.isnan(row.quality) else ""
