"""Results of publications, to be laid beside one's own."""

from pathlib import Path

import pandas as pd
import xarray as xr

from joulegrid.errors import InputError
from joulegrid.records import ROOT

FOLDER = ROOT / "config/published"
TEXTS = ("publication", "model", "configuration", "hardware", "workload", "quantity", "unit")
COLUMNS = (*TEXTS, "measured", "value")


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
    "value": "value as published",
}
