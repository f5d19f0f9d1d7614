"""What the page says of sweeps: what a token costs that is read, and one that is written."""

from typing import Any

import xarray as xr

from joulegrid.analysis.tokens import COEFFICIENTS, table
from joulegrid.report.frames import MOST_NAMED, namer

HEADS = ("mJ per prompt token", "mJ per generated token", "mJ per pair of them")


def costs(tree: xr.DataTree) -> dict[str, Any]:
    """A table of the group `tokens`; empty where the study has no sweep, or none that was measured.

    Returns
    -------
    `heads`; `rows` with `texts`, a value and half of its interval in mJ for each head, the `misfit`
    as a share, `points` and a `note`; `more`, how many rows are in tokens.csv alone.
    """
    if "tokens" not in tree.children:
        return {}
    frame = namer(tree)(table(tree["tokens"].to_dataset()))
    frame = frame.sort_values("per_output_token", kind="stable")
    rows = [
        {
            "texts": [row["configuration"], row["place"]],
            "values": [(_millis(row[name]), _millis(row[f"{name}_ci95"])) for name in COEFFICIENTS],
            "misfit": _known(row["misfit"]),
            "points": int(row["points"]),
            "note": row["note"],
        }
        for row in frame.head(MOST_NAMED).to_dict("records")
    ]
    return {"heads": HEADS, "rows": rows, "more": len(frame) - len(rows)} if rows else {}


def _millis(joules: float) -> float | None:
    return _known(1000 * joules)


def _known(value: float) -> float | None:
    return value if value == value else None
