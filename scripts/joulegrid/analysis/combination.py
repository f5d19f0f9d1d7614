"""Several studies as one, where their axes agree: one label means one thing in all of them.

What was measured is put side by side, and ranked and accounted anew. What a study took stands in
its own file only: several would count shared jobs twice.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import xarray as xr

from joulegrid.analysis import carbon, comparison, facts, metric_changes, published, samples
from joulegrid.analysis.dataset import ALL_CELLS
from joulegrid.analysis.evaluations import DOCUMENTS
from joulegrid.analysis.trained import TRAINING
from joulegrid.analysis.variables import (
    ENERGY,
    QUALITY,
    STATUS,
    WEIGHTS,
    Variable,
)
from joulegrid.errors import InputError
from joulegrid.records import written_by
from joulegrid.study.grid import CONFIGURATION_AXES
from joulegrid.study.study import Study

TABLES: dict[str, Mapping[str, Variable]] = {
    "energy": ENERGY,
    "quality": QUALITY,
    "training": TRAINING,
    "weights": WEIGHTS,
}
# What is kept of each study
KEPT = ("title", "git_commit", "joulegrid_version", "history")


def combine(trees: Mapping[str, xr.DataTree]) -> xr.DataTree:
    """The union of several studies' cells, ranked as the first study chooses.

    Parameters
    ----------
    trees
        what to call a study in a message -> what `storage.read` gives of its study.nc.

    Returns
    -------
    A tree with the groups energy, quality, samples, training, weights, ranking, changes, carbon and
    published. A cell that is in several of them has the same record in each, and stands in it once.

    Raises
    ------
    InputError
        naming a label that means different things, or a cell that has different records.
    """
    found = {source: _definitions(source, tree) for source, tree in trees.items()}
    definitions = _agreeing(found)
    groups = {
        f"/{name}": _united(
            {source: tree[name].to_dataset() for source, tree in trees.items()}, name
        )
        for name in TABLES
    }
    groups |= _samples(trees.values(), groups["/quality"])
    attributes = {
        "Conventions": "CF-1.12",
        "title": " + ".join(tree.attrs["title"] for tree in trees.values()),
        "combined": json.dumps([{k: tree.attrs[k] for k in KEPT} for tree in trees.values()]),
        "definitions": json.dumps(definitions, sort_keys=True),
        **written_by(),
    }
    united = xr.DataTree.from_dict({"/": xr.Dataset(attrs=attributes), **groups})
    known = facts.of_study(
        Study(definitions, "combined", {}), _models(trees), united["energy"].to_dataset()
    )
    united = facts.along(united, known)
    first = next(iter(trees.values()))
    chosen = comparison.chosen_in(first["ranking"].attrs)
    pue = {label: entry["pue"] for label, entry in definitions["pue"].items()}
    united["ranking"] = xr.DataTree(comparison.compare(united, chosen))
    united["carbon"] = xr.DataTree(carbon.account(united, definitions["zone"], pue))
    united["changes"] = xr.DataTree(metric_changes.account(united, chosen["baseline"]))
    united["published"] = xr.DataTree(published.read())
    return facts.along(united, known)


def _definitions(source: str, tree: xr.DataTree) -> dict[str, dict[str, dict[str, Any]]]:
    """What the labels of a study mean: kind -> label -> what stands under it."""
    old = "training" not in tree.children or "initial_loss" not in tree["training"]
    old = old or tree["energy"].status.attrs["flag_meanings"].split() != list(STATUS)
    if old or "definitions" not in tree.attrs or "carbon" not in tree.children:
        raise InputError(
            f"{source}: does not say what its labels mean, an earlier joulegrid wrote it, or it is "
            "no study.nc; run snakemake on that study again"
        )
    zones = tree["carbon"].to_dataset()
    years = zones.intensity_year.values.tolist()
    accounted = {
        "zone": {
            zone: {
                "intensity_g_per_kwh": float(zones.intensity.sel(zone=zone)),
                "basis": str(zones.intensity_basis.sel(zone=zone).values),
                "source": str(zones.intensity_source.sel(zone=zone).values),
                "year": year or None,
            }
            for zone, year in zip(zones.zone.values.tolist(), years, strict=True)
        },
        "pue": {
            label: {"pue": float(zones.pue.sel(hardware=label))}
            for label in zones.hardware.values.tolist()
        },
    }
    return {
        **json.loads(tree.attrs["definitions"]),
        **accounted,
        "device of hardware": _devices(tree["energy"].to_dataset()),
        "documents of metric": _documents(tree["quality"].to_dataset()),
    }


def _documents(quality: xr.Dataset) -> dict[str, dict[str, Any]]:
    """The digest of the documents that a metric of lm-eval is of, where a study has one."""
    found = {}
    for metric in quality.metric.values.tolist():
        texts = {*quality.signature.sel(metric=metric).values.ravel()} - {""}
        if len(texts) == 1 and (text := str(texts.pop())).startswith(DOCUMENTS):
            found[metric] = {"documents": text.removeprefix(DOCUMENTS)}
    return found


def _devices(energy: xr.Dataset) -> dict[str, dict[str, Any]]:
    """What a hardware label stood for, where its sessions agree: `device: cpu` fits any machine."""
    found = {}
    for label in energy.hardware.values.tolist():
        cpu, gpu, memory = (
            energy[f"hardware_{name}"].sel(hardware=label).item()
            for name in ("cpu", "gpu", "gpu_memory")
        )
        if cpu:
            found[label] = {
                "cpu": cpu,
                "gpu": gpu,
                "gpu_memory": None if memory != memory else memory,
            }
    return found


def _agreeing(found: Mapping[str, dict[str, dict[str, Any]]]) -> dict[str, dict[str, Any]]:
    """All definitions together.

    Raises
    ------
    InputError
        naming every label that means different things, and what differs.
    """
    together: dict[str, dict[str, Any]] = {}
    said: dict[tuple[str, str], str] = {}
    lines = []
    for source, definitions in found.items():
        for kind, labels in definitions.items():
            for label, entry in labels.items():
                known = together.setdefault(kind, {}).setdefault(label, entry)
                other = said.setdefault((kind, label), source)
                name = kind if label == ALL_CELLS else f"{kind} {label}"
                lines += [
                    f"{name}: {key} is {before} in {other}, {after} in {source}"
                    for key, before, after in _differences(known, entry)
                ]
    if lines:
        raise InputError(
            "\n".join([*lines, "one label must mean one thing: rename it in one of the studies"])
        )
    return together


def _differences(one: Any, other: Any, key: str = "") -> list[tuple[str, str, str]]:
    """(key path, one value, the other) of what two definitions differ in."""
    if isinstance(one, dict) and isinstance(other, dict):
        keys = dict.fromkeys([*one, *other])
        inner = [_differences(one.get(k), other.get(k), f"{key}.{k}" if key else k) for k in keys]
        return [line for lines in inner for line in lines]
    return [] if one == other else [(key, _said(one), _said(other))]


def _said(value: Any) -> str:
    return "not there" if value is None else json.dumps(value, ensure_ascii=False)


def _united(parts: Mapping[str, xr.Dataset], name: str) -> xr.Dataset:
    """One group of all studies over the union of their labels."""
    labels: dict[str, list[Any]] = {}
    for part in parts.values():
        for dim in part.dims:
            labels[str(dim)] = sorted({*labels.get(str(dim), []), *part[dim].values.tolist()})
    spread = {source: _spread(part, labels, TABLES[name]) for source, part in parts.items()}
    whole, merged = "", xr.Dataset()
    for source, part in spread.items():
        merged = part if not whole else _beside(merged, part, f"{name} of", whole, source)
        whole = f"{whole}, {source}" if whole else source
    for variable, join in JOINED.get(name, {}).items():
        merged[variable] = join(list(parts.values()), labels)
    return merged


def _spread(
    part: xr.Dataset, labels: Mapping[str, list[Any]], table: Mapping[str, Variable]
) -> xr.Dataset:
    """The variables of the table over all labels, filled as where there is no record."""
    plain = part[list(table)].reset_coords(drop=True)
    own = {dim: values for dim, values in labels.items() if dim in plain.dims}
    full = plain.reindex(own, fill_value={key: variable.fill for key, variable in table.items()})
    return full.assign(
        {
            key: full[key].astype(variable.dtype if variable.dtype != "O" else object)
            for key, variable in table.items()
        }
    )


def _beside(merged: xr.Dataset, part: xr.Dataset, what: str, source: str, other: str) -> xr.Dataset:
    """Both, record by record: of a cell that has none in `merged` what `part` says of it."""
    empty, new = merged.id == "", part.id != ""
    clash = ~empty & new & (merged.id != part.id)
    if clash.any():
        at = {str(k): v[0] for k, v in zip(clash.dims, np.nonzero(clash.values), strict=True)}
        one = clash.isel(at)
        cell = ", ".join(f"{axis} {one[axis].item()}" for axis in clash.dims)
        ids = f"{merged.id.isel(at).item()} in {source}, {part.id.isel(at).item()} in {other}"
        raise InputError(
            f"{what} {cell}: the record is {ids}; {int(clash.sum())} such: other code or packages "
            "measured it. Run snakemake on both studies with one joulegrid, or leave it out of one"
        )
    take = empty & new
    if "status" in merged:
        take = take | (empty & ~new & (part.status < merged.status))
    return merged.assign({key: merged[key].where(~take, part[key]) for key in merged.data_vars})


def _methods(parts: list[xr.Dataset], labels: Mapping[str, list[Any]]) -> xr.DataArray:
    """How the energy of components was obtained, in all studies."""
    own = {dim: labels[dim] for dim in ("hardware", "component")}
    texts = [part.method.reset_coords(drop=True).reindex(own, fill_value="") for part in parts]
    joined = np.vectorize(
        lambda *each: "; ".join(sorted({t for text in each for t in text.split("; ")} - {""})),
        otypes=["O"],
    )(*(text.values for text in texts))
    return texts[0].copy(data=joined)


def _directions(parts: list[xr.Dataset], labels: Mapping[str, list[Any]]) -> xr.DataArray:
    """Which way metrics are better, as the studies say that have a value of them."""
    own = {"metric": labels["metric"]}
    found = None
    for part in parts:
        there = (part.status == STATUS.index("ok")).any(
            [d for d in part.status.dims if d != "metric"]
        )
        direction = part.direction.reset_coords(drop=True).where(there).reindex(own)
        found = direction if found is None else found.fillna(direction)
    assert found is not None
    return found.fillna(1).astype("i1").assign_attrs(parts[0].direction.attrs)


def _samples(trees: Iterable[xr.DataTree], quality: xr.Dataset) -> dict[str, xr.Dataset]:
    """The samples of every task of the studies, over the configurations of all."""
    axes = {axis: quality[axis].values for axis in CONFIGURATION_AXES}
    found: dict[str, list[xr.Dataset]] = {}
    for tree in trees:
        for task, node in (tree["samples"].children if "samples" in tree.children else {}).items():
            found.setdefault(f"/samples/{task}", []).append(node.to_dataset())
    return {path: samples.united(parts).reindex(axes) for path, parts in found.items()}


JOINED: dict[str, dict[str, Callable[..., xr.DataArray]]] = {
    "energy": {"method": _methods},
    "quality": {"direction": _directions},
}


def _models(trees: Mapping[str, xr.DataTree]) -> dict[str, dict[str, float]]:
    """Parameters and bytes of all models, as the studies know them."""
    found: dict[str, dict[str, float]] = {}
    for tree in trees.values():
        energy = tree["energy"].to_dataset()
        for label in energy.model.values.tolist():
            one = energy.sel(model=label)
            known = {k: float(one[f"model_{k}"]) for k in ("parameters", "size")}
            found[label] = {**known, **{k: v for k, v in found.get(label, {}).items() if v == v}}
    return found
