"""How metrics of generated answers were computed, what was counted of the answers, and what their
judges took.
"""

from typing import Any

import numpy as np
import xarray as xr

from joulegrid.analysis import answering, judging
from joulegrid.study.grid import CONFIGURATION_AXES, short_name

# Of the table of answers: the rest is in the dataset
MOST_ROWS = 60


def signatures(tree: xr.DataTree) -> list[tuple[str, str]]:
    """Metric and signature, of those that have one; several where results of earlier versions were
    kept.
    """
    found = tree["quality"].signature
    texts = {
        str(m): sorted({*found.sel(metric=m).values.ravel()} - {""}) for m in found.metric.values
    }
    return [(metric, "; ".join(map(str, said))) for metric, said in texts.items() if said]


def notes(group: xr.Dataset) -> list[tuple[str, str]]:
    """Configuration and what the notes of the group quality, or changes, say of it, each once;
    none in a dataset of before they were there.
    """
    if "notes" not in group:
        return []
    found = group.notes
    rows = found.transpose(*CONFIGURATION_AXES, "metric")
    varying = [axis for axis in CONFIGURATION_AXES if rows.sizes[axis] > 1] or ["quantization"]
    told: dict[tuple[str, str], None] = {}
    for index in zip(*np.nonzero(rows.values != ""), strict=True):
        labels = [rows[axis].values[index[rows.dims.index(axis)]] for axis in varying]
        told[(short_name(labels), str(rows.values[index]))] = None
    return [*told]


def judged(tree: xr.DataTree) -> list[str]:
    """What judges took and how far their verdicts agree, a text for each."""
    if "judging" not in tree.children:
        return []
    return judging.sentences(tree["judging"].to_dataset(), tree["quality"].to_dataset())


def answered(tree: xr.DataTree) -> dict[str, Any]:
    """What answers took by configuration and task, where they were metered: `rows`, and how many
    `more` there are than the page shows.
    """
    if "answering" not in tree.children:
        return {"rows": [], "more": 0}
    rows = answering.frame(tree["answering"].to_dataset())
    return {"rows": rows[:MOST_ROWS], "more": max(len(rows) - MOST_ROWS, 0)}
