"""Results of publications, to be laid beside one's own."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from joulegrid.analysis.variables import COMPONENTS
from joulegrid.errors import InputError
from joulegrid.records import ROOT
from joulegrid.study.grid import CELL_AXES, CONFIGURATION_AXES, short_name
from joulegrid.study.methods import METHODS
from joulegrid.units import J_PER_KWH

FOLDER = ROOT / "config/published"
TEXTS = ("publication", "model", "configuration", "hardware", "workload", "quantity", "unit")
COLUMNS = (*TEXTS, "measured", "value")
# What stands as publication in one's own rows
OWN = "this study"
JOULES = {"kWh": J_PER_KWH, "Wh": J_PER_KWH / 1000}
# What the tables call a model before and after it was compressed, and a change of energy alone
BEFORE, AFTER, FACTOR = "full", "compressed", "energy_factor"
CHANGES = (
    *("publication", "model", "change", "hardware", "workload", "axis"),
    *("energy", "quality"),
)


def read(folder: Path = FOLDER) -> xr.Dataset:
    """All tables of the folder, a value per `row`.

    Raises
    ------
    InputError
        naming the file, and the column that is missing or the line that holds no number.
    """
    frames = [_table(path) for path in sorted(folder.glob("*.csv"))]
    frame = pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=list(COLUMNS))
    found = xr.Dataset.from_dataframe(frame.rename_axis("row"))
    for name in COLUMNS:
        found[name].attrs["long_name"] = ABOUT[name]
    return found


def beside(tree: xr.DataTree) -> pd.DataFrame:
    """A study's own cells and the published values, a value per row, with the same columns.

    Own energies (J) and durations (s) are of one run of the workload, means over sessions; a value
    of a quality metric stands once per configuration. Published energies are in J too.
    """
    return pd.concat([_own(tree), _in_si(tree["published"].to_dataset())], ignore_index=True)


def changes(found: xr.Dataset) -> pd.DataFrame:
    """What compressing a model, or another engine, changed in the publications: a row for each.

    Energies are sums of the components of one run of a workload, cell minus baseline, as a share of
    the baseline's: what stays comparable where machines and workloads differ.

    Parameters
    ----------
    found
        what `read` gave.

    Returns
    -------
    Columns `CHANGES`: `axis` is what was changed, quantization or engine; `energy` the change of
    the energy, `quality` the mean relative change of the published metrics for the better (NaN
    where there is none).
    """
    frame = _in_si(found)
    factors = frame[frame.quantity == FACTOR].rename(columns={"configuration": "change"})
    factors = factors.assign(
        energy=factors["value"] - 1, quality=np.nan, axis=factors["change"].map(_axis)
    )
    return pd.concat([_compressed(frame), factors], ignore_index=True)[list(CHANGES)]


def _axis(change: str) -> str:
    return "engine" if set(METHODS["engine"]) & set(re.findall(r"\w+", change)) else "quantization"


def _compressed(frame: pd.DataFrame) -> pd.DataFrame:
    """The changes between the two configurations of a model that have energies of all parts."""
    frame = frame[frame["configuration"].isin([BEFORE, AFTER])]
    parts = frame["quantity"].isin([f"energy_{part}" for part in COMPONENTS])
    place = ["publication", "model", "hardware", "workload"]
    joules = frame[parts].groupby([*place, "configuration"])["value"].sum(min_count=len(COMPONENTS))
    energy = _relative(joules.unstack("configuration")).rename("energy")
    metrics = frame[~frame["quantity"].str.startswith("energy_")]
    which = ["publication", "model", "quantity", "configuration"]
    change = _relative(metrics.set_index(which)["value"].unstack("configuration"))
    better = np.where(change.index.get_level_values("quantity").str.contains("perplexity"), -1, 1)
    quality = (change * better).groupby(["publication", "model"]).mean().rename("quality")
    found = energy.dropna().reset_index().merge(quality.reset_index(), "left")
    return found.assign(change=f"{BEFORE} to {AFTER}", axis="quantization")


def _relative(values: pd.DataFrame) -> pd.Series:
    values = values.reindex(columns=[BEFORE, AFTER])
    return values[AFTER] / values[BEFORE] - 1


def _own(tree: xr.DataTree) -> pd.DataFrame:
    energy, quality = tree["energy"].to_dataset(), tree["quality"].to_dataset()
    runs = energy.runs
    joules = energy.energy / runs
    cells = xr.Dataset(
        {
            **{f"energy_{c}": joules.sel(component=c, drop=True) for c in COMPONENTS},
            "energy_total": joules.sum("component", skipna=False),
            "duration": energy.duration / runs,
        }
    ).mean("session")
    frame = cells.reset_coords(drop=True).to_dataframe().reset_index()
    frame = frame.melt(list(CELL_AXES), var_name="quantity").dropna(subset=["value"])
    values = quality.quality.reset_coords(drop=True).to_dataframe("value").reset_index()
    values = values.dropna(subset=["value"]).rename(columns={"metric": "quantity"})
    both = pd.concat([_named(frame, tree), _named(values, tree)], ignore_index=True)
    return both[list(COLUMNS)]


def _named(frame: pd.DataFrame, tree: xr.DataTree) -> pd.DataFrame:
    """Own rows under the columns of published ones."""
    configuration = [*CONFIGURATION_AXES[1:], "engine"]
    axes = [axis for axis in configuration if axis in frame]
    measured = _measured(tree)
    places = [
        measured.get((hardware, str(quantity).removeprefix("energy_")), "")
        for hardware, quantity in zip(
            frame.get("hardware", [""] * len(frame)), frame["quantity"], strict=True
        )
    ]
    return frame.assign(
        publication=OWN,
        configuration=[short_name(labels) for labels in frame[axes].itertuples(index=False)],
        hardware=frame.get("hardware", ""),
        workload=frame.get("workload", ""),
        unit=frame["quantity"].map(_unit),
        measured=places,
    )


def _unit(quantity: str) -> str:
    return "s" if quantity == "duration" else "J" if quantity.startswith("energy_") else "1"


def _measured(tree: xr.DataTree) -> dict[tuple[str, str], str]:
    """(hardware, component or total) -> how its energy was obtained."""
    method = tree["energy"].method
    said = {
        (str(hardware), part): str(method.sel(hardware=hardware, component=part).values)
        for hardware in method.hardware.values
        for part in COMPONENTS
    }
    wholes = {
        (hardware, "total"): " + ".join(f"{p}: {said[hardware, p]}" for p in COMPONENTS)
        for hardware, _ in said
    }
    return said | wholes


def _in_si(found: xr.Dataset) -> pd.DataFrame:
    """Published values, energies in J."""
    frame = found.to_dataframe()
    factor = frame["unit"].map(JOULES)
    return frame.assign(
        value=frame["value"] * factor.fillna(1),
        unit=frame["unit"].where(factor.isna(), "J"),
    )[list(COLUMNS)]


def _table(path: Path) -> pd.DataFrame:
    frame = pd.read_csv(path, dtype=str, keep_default_na=False)
    missing = [name for name in COLUMNS if name not in frame]
    if missing:
        raise InputError(f"{path}: the column {missing[0]!r} is missing")
    values = pd.to_numeric(frame["value"], errors="coerce")
    if values.isna().any():
        line = int(values.isna().to_numpy().argmax())
        raise InputError(f"{path}:{line + 2}: {frame['value'].iloc[line]!r} is no number")
    return frame[list(COLUMNS)].assign(value=values)


ABOUT = {
    "publication": "short name of the publication",
    "model": "model",
    "configuration": "how it was compressed and run",
    "hardware": "machine",
    "workload": "what ran",
    "quantity": "what the value is",
    "unit": "unit of the value",
    "measured": "with what it was measured",
    "value": "value as published, in the unit that `unit` names",
}
