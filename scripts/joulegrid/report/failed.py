"""What has no result, and why."""

from collections.abc import Sequence
from typing import Any

import pandas as pd
import xarray as xr

from joulegrid.analysis.variables import NOT_MEANINGFUL, STATUS
from joulegrid.study.grid import CELL_AXES, CONFIGURATION_AXES, short_name

# Names in one row; more are counted
MOST_NAMES = 12
WITH_RESULT = ("ok", "excluded")
# What was evaluated, and gave nothing that can be compared
NO_NUMBER = "no number"


def without_result(tree: xr.DataTree) -> list[dict[str, Any]]:
    """Sessions of cells, and metrics of configurations, that have no number: equal reasons in one
    row.

    Returns
    -------
    Rows with `what`, `status`, `reason`, `of` (the names of cells or configurations), `more`, how
    many names are left out, and `count`, how many sessions or metrics.
    """
    energy, quality = tree["energy"].to_dataset(), tree["quality"].to_dataset()
    return [
        *_rows("sessions", energy, CELL_AXES),
        *_rows("metrics", quality, CONFIGURATION_AXES),
    ]


def _rows(what: str, group: xr.Dataset, axes: Sequence[str]) -> list[dict[str, Any]]:
    names = [name for name in ("status", "reason", "quality") if name in group]
    found = group[names].drop_attrs().reset_coords(drop=True)
    frame = found.to_dataframe().reset_index()
    frame = frame.assign(status=[STATUS[code] for code in frame.status])
    if "quality" in frame:
        empty = frame.quality.isna() & (frame.status == "ok")
        frame.loc[empty & ~frame.reason.isin(["", NOT_MEANINGFUL]), "status"] = NO_NUMBER
    frame = frame[~frame.status.isin(WITH_RESULT)]
    varying = [axis for axis in axes if group.sizes[axis] > 1] or ["quantization"]
    rows = []
    for (status, reason), part in frame.groupby(["status", "reason"], sort=True):
        names = _names(part[varying].drop_duplicates())
        rows.append(
            {
                "what": what,
                "status": status,
                "reason": reason,
                "of": names[:MOST_NAMES],
                "more": max(len(names) - MOST_NAMES, 0),
                "count": len(part),
            }
        )
    order = [*STATUS, NO_NUMBER]
    return sorted(rows, key=lambda row: order.index(row["status"]))


def _names(labels: pd.DataFrame) -> list[str]:
    return [short_name(row) for row in labels.itertuples(index=False)]
