"""Published changes beside those that were measured here."""

from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from joulegrid.analysis import comparison, published
from joulegrid.report.beside import best_of_places
from joulegrid.report.frames import namer
from joulegrid.study.grid import CELL_AXES

# Places whose own changes stand beside published ones; those of all are in the exported beside.csv
MOST_PLACES = 12


def fitting(tree: xr.DataTree) -> pd.DataFrame:
    """The rows of `published.changes` along the axes that this study compares."""
    compared = comparison.chosen_in(tree["ranking"].attrs)["baseline"]
    if "published" not in tree.children:
        return pd.DataFrame(columns=list(published.CHANGES))
    found = published.changes(tree["published"].to_dataset())
    return found[found.axis.isin(list(compared))].reset_index(drop=True)


def beside(tree: xr.DataTree) -> list[dict[str, Any]]:
    """The change of the best-ranked cell of each place against the baseline, measured here, of the
    first places, and the published ones that fit; empty where there are not both.

    Returns
    -------
    Rows with `whose`, `published`, `texts` (model, change, machine, workload), and the changes of
    `energy`, the half width of its interval `half`, and `quality`: None where it is not known.
    """
    own, theirs = _own(tree)[:MOST_PLACES], fitting(tree)
    if not own or theirs.empty:
        return []
    return [
        *own,
        *(
            {
                "whose": row["publication"],
                "published": True,
                "texts": [row[key] for key in ("model", "change", "hardware", "workload")],
                "energy": row["energy"],
                "half": None,
                "quality": _known(row["quality"]),
            }
            for row in theirs.to_dict("records")
        ),
    ]


def _own(tree: xr.DataTree) -> list[dict[str, Any]]:
    ranking = tree["ranking"].to_dataset()
    baseline = comparison.chosen_in(tree["ranking"].attrs)["baseline"]
    rows = []
    for _, cell in best_of_places(tree).iterrows():
        if all(cell[axis] == label for axis, label in baseline.items()):
            continue
        at = {axis: cell[axis] for axis in CELL_AXES}
        one, full = ranking.sel(at), namer(tree)(pd.DataFrame([{**at, **baseline}]))
        change = f"{full['configuration'].iloc[0]} to {cell['configuration']}"
        rows.append(
            {
                "whose": published.OWN,
                "published": False,
                "texts": [cell["model"], change, cell["hardware"], cell["workload"]],
                "energy": -float(one.efficiency),
                "half": _known(float(one.efficiency_ci95)),
                "quality": _known(float(one.quality)),
            }
        )
    return rows


def _known(value: float) -> float | None:
    return value if np.isfinite(value) else None
