"""What the page says of replays by the hour at which they begin."""

from typing import Any

import xarray as xr

from joulegrid.analysis.hourly import BEGINS
from joulegrid.report.frames import MOST_NAMED, namer
from joulegrid.study.grid import CELL_AXES


def begun(tree: xr.DataTree) -> dict[str, Any]:
    """A table of the group `hourly`, the least emissions first; empty where the study has no replay
    or no hourly series.

    Returns
    -------
    `heads`; `rows` with `texts` (configuration, place, zone) and as many `grams` of one replay as
    there are heads; `more`, how many rows are in study.nc alone.
    """
    if "hourly" not in tree.children:
        return {}
    emissions = tree["hourly"].emissions.drop_attrs().reset_coords(drop=True)
    grams = emissions.to_dataset("begin")[list(BEGINS)]
    frame = grams.to_dataframe(dim_order=[*CELL_AXES, "zone"]).reset_index()
    frame = namer(tree)(frame.dropna(subset=list(BEGINS)))
    frame = frame.sort_values("mean", kind="stable")
    rows = [
        {
            "texts": [row["configuration"], row["place"], row["zone"]],
            "grams": [row[name] for name in BEGINS],
        }
        for row in frame.head(MOST_NAMED).to_dict("records")
    ]
    heads = ["mean of all hours, g", "best hour, g", "worst hour, g"]
    return {"heads": heads, "rows": rows, "more": len(frame) - len(rows)} if rows else {}
