"""What the page says beside the operational emissions of the zones."""

from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from joulegrid.analysis.begin import MONTHS, on_clock, suggestion
from joulegrid.report.frames import namer
from joulegrid.study.grid import CELL_AXES, PLACE_AXES

# The job of which is said in words when to begin it, in h
JOB = 6
# Of /footprint: variable, heading, times what; those of one run are shown per 1,000 tokens
PER_THOUSAND = {
    "market_emissions": "market-based, g per 1,000 tokens",
    "embodied": "embodied, g per 1,000 tokens",
    "water": "water, L per 1,000 tokens",
}
AS_THEY_ARE = {
    "sci_per_thousand_requests": "SCI, g per 1,000 requests",
    "sci_per_million_tokens": "SCI, g per 10⁶ tokens",
}
SOURCES = {"market_source": "market-based", "embodied_source": "embodied", "water_source": "water"}


def best_of_places(tree: xr.DataTree) -> pd.DataFrame:
    """The cell with the highest score of every place, of those that have a rank: what does not meet
    the requirements has none. With its short names `configuration` and `place`.
    """
    scores = (
        tree["ranking"]
        .to_dataset()[["score", "rank"]]
        .reset_coords(drop=True)
        .drop_attrs()
        .to_dataframe(dim_order=list(CELL_AXES))
    )
    frame = scores.dropna().sort_values("score", ascending=False, kind="stable").reset_index()
    attributes = tree["ranking"].attrs
    places = [axis for axis in CELL_AXES if f"baseline_{axis}" not in attributes]
    best = frame.groupby(places, sort=True).head(1) if places else frame.head(1)
    return namer(tree)(best.sort_values(list(PLACE_AXES))).reset_index(drop=True)


def footprint(tree: xr.DataTree) -> dict[str, Any]:
    """A table of the group `footprint`, of the best-ranked cell of each place; empty where the
    study has none.

    Returns
    -------
    `texts` and `numbers`, the headings; `rows` with as many of each; `sources`.
    """
    best = best_of_places(tree)
    if "footprint" not in tree.children or best.empty:
        return {}
    found, carbon = tree["footprint"].to_dataset(), tree["carbon"].to_dataset()
    energy = tree["energy"].to_dataset()
    thousands = (energy.tokens_written / energy.runs).mean("session") / 1000
    shown = {"operational, g per 1,000 tokens": carbon.emissions_per_token * 1000}
    shown |= {head: found[key] / thousands for key, head in PER_THOUSAND.items() if key in found}
    shown |= {head: found[key] for key, head in AS_THEY_ARE.items() if key in found}
    rows = []
    for _, cell in best.iterrows():
        at = {axis: cell[axis] for axis in CELL_AXES}
        for zone in carbon.zone.values:
            values = [_value(array, {**at, "zone": zone}) for array in shown.values()]
            texts = [cell["configuration"], cell["place"], str(zone)]
            rows.append({"texts": texts, "numbers": values})
    sources = {
        f"{what} ({label}): {text}"
        for key, what in SOURCES.items()
        if key in found
        for label, text in found[key].to_series().items()
        if text
    }
    heads = ["configuration", "place", "zone"]
    return {"texts": heads, "numbers": [*shown], "rows": rows, "sources": sorted(sources)}


def _value(array: xr.DataArray, at: dict[str, Any]) -> float | None:
    value = float(array.sel({dim: at[str(dim)] for dim in array.dims}))
    return value if np.isfinite(value) else None


def begins(tree: xr.DataTree) -> dict[str, Any]:
    """When jobs were cleanest to begin, by zone, length and month; and in words for the month of
    the last measurement. Empty where no zone has an hourly series.
    """
    grid = tree["grid"].to_dataset() if "grid" in tree.children else xr.Dataset()
    if "begin_hour" not in grid:
        return {}
    hours = grid.begin_hour.transpose("zone", "job_hours", "month")
    last = max((str(text) for text in tree["energy"].started.values.ravel()), default="")[5:7]
    found = [suggestion(grid, str(zone), int(last or 1), JOB) for zone in grid.zone.values]
    return {
        "clock": grid.attrs["time_zone"] or "UTC (the site file names no time_zone)",
        "months": [name[:3] for name in MONTHS],
        "rows": [
            {
                "zone": str(zone),
                "job_hours": int(length),
                "times": [
                    on_clock(hour) if hour == hour else "–"
                    for hour in hours.sel(zone=zone, job_hours=length).values.tolist()
                ],
            }
            for zone in grid.zone.values
            for length in grid.job_hours.values
        ],
        "sentences": [text for text in found if text],
    }
