"""What the labels of the axes stand for, as coordinates along them: a reader selects by bits,
sparsity, parameters or memory instead of by names.

Where the sessions under one label do not agree, a coordinate says nothing.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import xarray as xr

from joulegrid.analysis.variables import DIMENSIONS, FACTS, UNITS_OF_LABELS
from joulegrid.study.methods import METHODS
from joulegrid.study.study import Study

# Prunings that put no zeros into the weights
WITHOUT_ZEROS = {"none", "layers", "blocks"}


def of_study(
    study: Study, models: Mapping[str, Mapping[str, Any]], energy: xr.Dataset
) -> xr.Dataset:
    """The coordinates of `variables.FACTS` along the axes.

    Parameters
    ----------
    models
        label -> `parameters` and `size` (bytes) of the models that were obtained.
    energy
        the group energy: `cpu`, `gpu`, `gpu_memory` of every session.
    """
    ways: dict[str, Callable[[str], Any]] = {
        "model_parameters": lambda label: models[label].get("parameters"),
        "model_size": lambda label: models[label].get("size"),
        "model_random": lambda label: study.method("model", label) == "random",
        "pruning_method": lambda label: study.method("pruning", label),
        "target_sparsity": lambda label: target_sparsity(study.data["pruning"][label]),
        "quantization_method": lambda label: study.method("quantization", label),
        "bits": lambda label: nominal_bits(study.data["quantization"][label]),
        "hardware_cpu": lambda label: _agreed(energy.cpu.sel(hardware=label), ""),
        "hardware_gpu": lambda label: _agreed(energy.gpu.sel(hardware=label), ""),
        "hardware_gpu_memory": lambda label: _agreed(energy.gpu_memory.sel(hardware=label), np.nan),
    }
    coordinates = {}
    for axis, table in FACTS.items():
        for name, variable in table.items():
            values = [ways[name](label) for label in energy[axis].values.tolist()]
            coordinates[name] = (axis, np.array(values, variable.dtype), variable.attrs)
    return xr.Dataset(coords=coordinates)


def target_sparsity(entry: Mapping[str, Any]) -> float | None:
    """The share of zeros that a pruning aims at: 1 − N/M of an N:M pattern, its ratio, or 0."""
    if entry["method"] in WITHOUT_ZEROS:
        return 0.0
    if "pattern" in entry:
        kept, group = map(int, entry["pattern"].split(":"))
        return 1 - kept / group
    return entry.get("ratio")


def nominal_bits(entry: Mapping[str, Any]) -> int | None:
    """Bits of a weight: those of the method, or that the entry says, itself or in the name of its
    type (`bfloat16`, `Q4_K_M`); None of ready-made weights.
    """
    known = METHODS["quantization"][entry["method"]].bits or entry.get("bits")
    named = re.search(r"\d+", entry.get("dtype") or entry.get("type") or "")
    return known or (int(named[0]) if named else None)


def _agreed(values: xr.DataArray, unknown: Any) -> Any:
    """The one value that all sessions say; `unknown` where none or several are said."""
    said = values.values.ravel()
    found = set(said[said != ""].tolist()) if unknown == "" else set(said[~np.isnan(said)].tolist())
    return found.pop() if len(found) == 1 else unknown


def along(tree: xr.DataTree, facts: xr.Dataset) -> xr.DataTree:
    """The tree, each group with the facts along the axes that it has, and each of its dimensions
    with what its labels are.
    """
    groups = {}
    for node in tree.subtree:
        dataset = node.to_dataset(inherit=False)
        own = {str(n): c for n, c in facts.coords.items() if set(c.dims) <= set(dataset.coords)}
        dataset = dataset.assign_coords({n: c for n, c in own.items() if n not in facts.dims})
        for name in dataset.dims:
            if name in DIMENSIONS and name in dataset.coords:
                labels = dataset[name]
                labels.attrs["long_name"] = DIMENSIONS[str(name)]
                if labels.dtype.kind in "iuf":
                    labels.attrs["units"] = UNITS_OF_LABELS.get(str(name), "1")
        groups[node.path] = dataset
    return xr.DataTree.from_dict(groups, name=tree.name)


def of_tree(tree: xr.DataTree) -> xr.Dataset:
    """The coordinates of `variables.FACTS` that a merged tree holds."""
    names = [name for table in FACTS.values() for name in table]
    return xr.Dataset(coords={name: tree["energy"][name] for name in names})
