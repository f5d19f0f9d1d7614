"""What the selection of trained models made of every cell of a dataset."""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from joulegrid.analysis.concluded import SELECTION
from joulegrid.analysis.variables import STATUS
from joulegrid.study import grid, selection
from joulegrid.study.grid import CELL_AXES

CODE = {name: code for code, name in enumerate(SELECTION)}
FELL_OUT = CODE["fell_out"]


def roles(tree: xr.DataTree) -> xr.DataArray:
    """The codes of `concluded.SELECTION` over the cell axes; 0 in a study that selects nothing."""
    energy = tree["energy"].to_dataset()
    labels = {axis: energy[axis].values.tolist() for axis in CELL_AXES}
    found = np.zeros([len(known) for known in labels.values()], "i1")
    if "selection" not in tree.attrs:
        return xr.DataArray(found, labels, CELL_AXES)
    index = [{label: n for n, label in enumerate(known)} for known in labels.values()]
    there = (energy.status != STATUS.index("excluded")).any("session")
    made = there.transpose(*CELL_AXES).values
    for cell, role in _of_cells(tree.attrs).items():
        at = tuple(known[label] for known, label in zip(index, cell, strict=True))
        if role == "fell_out" and not made[at]:
            role = "left_out"
        found[at] = CODE[role]
    return xr.DataArray(found, labels, CELL_AXES)


def _of_cells(attributes: Mapping[Any, Any]) -> dict[Any, str]:
    """Cell -> its role, of those that the selection concerns; what is not selected fell out."""
    content, data = json.loads(attributes["selection"]), json.loads(attributes["study"])
    axes = {axis: data[axis] for axis in CELL_AXES}
    loops = selection.loops(data, grid.cells(axes, **data["grid"]))
    assert loops is not None, "the study selects"
    goes_on = set(selection.goes_on(content))
    found = {}
    for each, candidate in loops.candidates.items():
        decided = "goes_on" if each in goes_on else "stays_behind"
        found[candidate] = "candidate" if "open" in content else decided
        role = "second_loop" if each in goes_on else "fell_out"
        found |= dict.fromkeys(loops.second[each], role)
    return found


def words(codes: np.ndarray) -> list[str]:
    """The roles for people; nothing of a cell that the selection does not concern."""
    return [SELECTION[code].replace("_", " ") if code else "" for code in codes]


def sentences(attributes: Mapping[Any, Any]) -> list[str]:
    """What the selection of a dataset with these attributes says."""
    if "selection" not in attributes:
        return []
    content = json.loads(attributes["selection"])
    if "open" in content:
        return content["said"]
    return [f"Selected by R with w = {content['weight']:g}: {text}" for text in content["said"]]
