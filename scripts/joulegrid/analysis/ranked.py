"""The ranking as a table: one row per cell, with what else one wants to know of it."""

from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from joulegrid.analysis import energies, selected
from joulegrid.analysis.comparison import peak_bytes
from joulegrid.analysis.variables import NOT_MEANINGFUL, STATUS
from joulegrid.study.grid import CELL_AXES, CONFIGURATION_AXES

MADE = ["size", "sparsity", "making_time", "making_energy"]
PHASES = ("energy_per_prompt_token", "energy_per_decoded_token")
NOTED = [
    "status",
    "reason",
    "efficiency",
    "quality_term",
    "random",
    "disturbed",
    "other_board",
    "other_basis",
    "guessed_share",
    "meets",
    "selection",
]
NO_BASELINE = "no energy of the baseline in this place"
# Why nothing is compared, by what the study compares
NOTHING = {
    "gpu": "no counter of a GPU, here or for the baseline",
    "measured": "nothing that counters measured here and for the baseline alike",
    "net": "nothing above an undisturbed idle machine, here or for the baseline",
}
OTHER_BASIS = "a component was estimated in a part of what is compared, and measured in the rest"
GUESSED = "a part of the energy is a guess"
DISTURBED = "measured while disturbed"
OTHER_BOARD = "on another board than the baseline"
NOT_MET = "does not meet what the study requires"
FELL_OUT = "fell out of the selection"
NO_METRIC = "a quality metric is missing here or for the baseline, or 0 for the baseline"


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
    frame["selection"] = selected.words(columns["selection"])
    frame["sessions"] = _flat((energy.status == STATUS.index("ok")).sum("session"))
    frame["tokens_per_s"] = _flat(energies.speed(energy))
    frame["all_energy_per_token"] = _flat(energies.per_token(energy).mean("session"))
    frame["net_energy_per_token"] = _flat(energies.per_token(energy, net=True).mean("session"))
    frame["peak_memory"] = _flat(peak_bytes(energy))
    for name, values in zip(PHASES, energies.by_phase(energy), strict=True):
        frame[name] = _flat(values.mean("session"))
    frame["weights_size"] = _flat(energy.weights_size.max("session"))
    for name in ("kernel", "gpu", "reason"):
        frame[name] = _flat(_first_text(energy[name]))
    frame = frame.join(
        made[MADE].reset_coords(drop=True).to_dataframe(), on=list(CONFIGURATION_AXES)
    )
    frame = frame.join(quality.quality.to_series().unstack("metric"), on=list(CONFIGURATION_AXES))
    # of several sessions the best status: one that is there can be compared
    frame["status"] = [STATUS[code] for code in _flat(energy.status.min("session"))]
    frame = frame[frame.status != "excluded"]
    drawn = energy.model_random.to_series() == 1
    frame["random"] = drawn.reindex(frame.index.get_level_values("model")).to_numpy()
    which = "net" if ranking.attrs["net"] else ranking.attrs["energy"]
    nothing = NOTHING.get(which, NO_BASELINE)
    frame["note"] = [_note(row, nothing) for row in frame[NOTED].itertuples(index=False)]
    frame["rank"] = frame["rank"].astype("Int64")
    frame = (
        frame.drop(columns="random")
        .reset_index()
        .sort_values("score", ascending=False, kind="stable")
    )
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


def _note(row: Any, nothing: str) -> str:
    if row.status == "infeasible":  # nothing was sent, so that no log says why
        return f"infeasible: {row.reason}"
    if row.status != "ok":
        return row.status
    said = []
    if np.isnan(row.efficiency):
        said.append(nothing)
    elif np.isnan(row.quality_term):
        said.append(NOT_MEANINGFUL if row.random else NO_METRIC)
    if row.selection == "fell out":
        said.append(FELL_OUT)
    if row.meets == 0:
        said.append(NOT_MET)
    if row.disturbed > 0:
        said.append(DISTURBED)
    if row.other_board == 1:
        said.append(OTHER_BOARD)
    if row.other_basis == 1:
        said.append(OTHER_BASIS)
    if row.guessed_share > 0:
        said.append(GUESSED)
    return "; ".join(said)
