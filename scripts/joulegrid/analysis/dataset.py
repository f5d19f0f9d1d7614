"""Merge the records of all jobs into one xarray DataTree with the axes as dimensions.

Cells that were excluded, are missing or failed to fit are NaN, and the status beside each measured
variable says which it is.
"""

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import xarray as xr

from joulegrid.analysis.table import Table
from joulegrid.analysis.variables import (
    BASIS,
    COMPONENTS,
    DIRECTION,
    ENERGY,
    QUALITY,
    STATUS,
    WEIGHTS,
)
from joulegrid.records import ROOT, SCHEMA_VERSION, written_by
from joulegrid.study.checks import metric_names
from joulegrid.study.grid import CELL_AXES, CONFIGURATION_AXES, Configuration
from joulegrid.study.methods import METHODS, Weights
from joulegrid.study.shelf import RESULTS, Shelf
from joulegrid.study.specs import Job, Specs

Missing = list[dict[str, str]]
DAMAGED = "the file is damaged: delete it and run snakemake again"


def merge(specs: Specs, shelf: Shelf) -> tuple[xr.DataTree, Missing]:
    """All records of a study as one tree.

    Returns
    -------
    The tree, with groups energy, quality, training and weights, and a row {kind, path, status,
    reason} for each record that is not a measurement.
    """
    records = _Records(shelf)
    groups = {
        "/": xr.Dataset(attrs=_attributes(specs)),
        "/energy": _energy(specs, records),
        "/quality": _quality(specs, records),
        "/training": xr.Dataset(coords=_labels(specs, ("model", "training"))),
        "/weights": _weights(specs, records),
    }
    return xr.DataTree.from_dict(groups, name=specs.study.name), records.missing


def _attributes(specs: Specs) -> dict[str, Any]:
    return {
        "Conventions": "CF-1.12",
        "title": f"joulegrid study {specs.study.name}",
        "study": json.dumps(specs.study.data, sort_keys=True),
        **written_by(),
    }


def _labels(specs: Specs, axes: Iterable[str]) -> dict[str, list[str]]:
    """Labels in alphabetical order: the order in the study file means nothing and invalidates
    nothing.
    """
    return {axis: sorted(specs.study.labels(axis)) for axis in axes}


class _Records:
    """Reads records, and notes which are not there or are no measurement."""

    def __init__(self, shelf: Shelf):
        self.shelf = shelf
        self.missing: Missing = []

    def row(self, job: Job, extract: Callable[[dict], dict[str, Any]]) -> dict[str, Any]:
        """Status, reason and, of a record that is ok, what `extract` takes out of it."""
        content, path = self._read(job)
        status, reason, row, accepted = "missing", "", {}, None
        if content is not None:
            try:
                record = orjson.loads(content)
                if record["schema_version"] != SCHEMA_VERSION or record["id"] != job.id:
                    reason = (
                        f"made by another joulegrid (schema version {record['schema_version']})"
                    )
                else:
                    found = record["status"]
                    accepted = record.get("accepted", {}).get("reason")
                    row = extract(record) if found == "ok" else {"reason": record["reason"]}
                    status, reason = found, row.get("reason", "")
            except (ValueError, KeyError, TypeError, IndexError, AttributeError):
                row, reason = {}, DAMAGED
        if status != "ok":
            self._note(job, path, status, reason)
        return {**row, "status": STATUS.index(status), "accepted": accepted}

    def _read(self, job: Job) -> tuple[bytes | None, str]:
        """The content of a record and its path; None where it is not there.

        It is looked for where it should be first: asking the shelf takes longer.
        """
        path = f"{RESULTS}/{job.path}.json"
        try:
            with open(f"{ROOT}/{path}", "rb") as stream:
                return stream.read(), path
        except FileNotFoundError:
            elsewhere = self.shelf.record(job)
            return (
                (None, path) if elsewhere is None else ((ROOT / elsewhere).read_bytes(), elsewhere)
            )

    def _note(self, job: Job, path: str, status: str, reason: str) -> None:
        self.missing.append({"kind": job.kind, "path": path, "status": status, "reason": reason})


def _energy(specs: Specs, records: _Records) -> xr.Dataset:
    study = specs.study
    sessions = range(1, study.data["protocol"]["sessions"] + 1)
    axes: dict[str, list[Any]] = {**_labels(specs, CELL_AXES), "session": list(sessions)}
    table = Table(axes, ENERGY, {"component": COMPONENTS})
    methods: dict[tuple[str, str], set[str]] = {}

    def extract(record: dict) -> dict[str, Any]:
        for component, how in record["components"].items():
            said = f"{how['basis']}: {how['method']}"
            methods.setdefault((cell.hardware, component), set()).add(said)
        return _session(record)

    for cell in study.cells:
        why = study.unsupported(cell)
        for session in sessions:
            if why is None:
                row = records.row(specs.energy(cell, session), extract)
            else:
                row = {"status": STATUS.index("unsupported"), "reason": why}
            table.add((*cell, session), row)
    dataset = table.dataset()
    texts = [
        ["; ".join(sorted(methods.get((h, c), ()))) for c in COMPONENTS] for h in axes["hardware"]
    ]
    about = {"long_name": "how the energy of the component was obtained"}
    dataset["method"] = (("hardware", "component"), texts, about)
    return dataset


def _session(record: dict) -> dict[str, Any]:
    """The row of one energy record that is ok."""
    windows, idle, device = record["windows"], record["idle_power_w"], record["device"]
    memory, gpus = record["memory_bytes"], record["device"]["gpus"]
    kernels = sorted(record["kernels"].items(), key=lambda item: (-item[1], item[0]))
    return {
        "energy": [sum([window["energy_j"][c] for window in windows]) for c in COMPONENTS],
        "duration": sum([window["seconds"] for window in windows]),
        "windows": len(windows),
        "runs": sum([window["runs"] for window in windows]),
        "tokens_read": sum([window["tokens_read"] for window in windows]),
        "tokens_written": sum([window["tokens_written"] for window in windows]),
        "idle_power": [idle[c] for c in COMPONENTS] if idle else None,
        "loading_energy": [record["loading"]["energy_j"][c] for c in COMPONENTS],
        "loading_time": record["loading"]["seconds"],
        "peak_memory": memory["ram"],
        "peak_gpu_memory": memory.get("gpu"),
        "weights_size": record["weights_bytes"],
        "basis": [BASIS.index(record["components"][c]["basis"]) for c in COMPONENTS],
        "kernel": ", ".join(f"{name} ×{count}" for name, count in kernels),
        "cpu": device["cpu"],
        "gpu": ", ".join(gpu["name"] for gpu in gpus),
        "gpu_memory": gpus[0]["memory_bytes"] if gpus else None,
        "gpu_uuid": ", ".join(gpu["uuid"] for gpu in gpus),
        "host": record["host"],
    }


def _quality(specs: Specs, records: _Records) -> xr.Dataset:
    study = specs.study
    metrics = sorted(metric_names(study.data))
    table = Table({**_labels(specs, CONFIGURATION_AXES), "metric": metrics}, QUALITY)
    higher = dict.fromkeys(metrics, 1)
    for configuration in study.configurations:
        for task in study.labels("quality"):
            found: dict[str, dict] = {}
            row = records.row(
                specs.quality(configuration, task), lambda r: {"metrics": r["metrics"]}
            )
            found = row.get("metrics", {})
            for name in metric_names({"quality": {task: study.data["quality"][task]}}):
                metric = found.get(name.removeprefix(f"{task}."))
                if metric is not None:
                    higher[name] = int(metric["higher_is_better"])
                table.add((*configuration, name), {**row, **_value(metric)})
    dataset = table.dataset()
    flags = {"flag_values": np.array([0, 1], "i1"), "flag_meanings": " ".join(DIRECTION)}
    values = np.array([higher[m] for m in metrics], "i1")
    dataset["direction"] = (
        "metric",
        values,
        {"long_name": "which way the metric is better", **flags},
    )
    return dataset


def _value(metric: dict | None) -> dict[str, Any]:
    return {} if metric is None else {"quality": metric["value"], "stderr": metric["stderr"]}


def _weights(specs: Specs, records: _Records) -> xr.Dataset:
    table = Table(_labels(specs, CONFIGURATION_AXES), WEIGHTS)
    known: dict[str, dict[str, Any]] = {}

    def row_of(job: Job) -> dict[str, Any]:
        if job.path not in known:  # many configurations are made from one model
            known[job.path] = records.row(job, _made)
        return known[job.path]

    for configuration in specs.study.configurations:
        chain = [row_of(job) for job in specs.made_from(configuration)]
        if all(row["status"] == STATUS.index("ok") for row in chain):
            table.add(configuration, _summary(specs, configuration, chain))
    return table.dataset()


def _made(record: dict) -> dict[str, Any]:
    """What a record of a model or of weights says of them."""
    cost = record.get("cost")
    return {
        "parameters": record.get("parameters"),
        "size": record["bytes"],
        "sparsity": (record.get("sparsity") or {}).get("mean"),
        "making_time": cost["seconds"] if cost else 0.0,
        "making_energy": sum(cost["energy_j"].values()) if cost else 0.0,
    }


def _summary(
    specs: Specs, configuration: Configuration, chain: list[dict[str, Any]]
) -> dict[str, Any]:
    """One row of the group weights, out of those of all that a configuration is made from."""
    name = specs.study.method("quantization", configuration.quantization)
    how, last = METHODS["quantization"][name].weights, chain[-1]
    known = how != Weights.FETCHED  # what it cost others is not known
    return {
        # packed integers hold several weights each: the model that they were made from has the
        # count
        "parameters": [row["parameters"] for row in chain if row["parameters"]][-1],
        "size": last["size"],
        # 8 and 4 bits that are made while loading add zeros, nobody counts them
        "sparsity": last["sparsity"] if how != Weights.LOADED or name == "cast" else None,
        "making_time": sum(row["making_time"] for row in chain) if known else None,
        "making_energy": sum(row["making_energy"] for row in chain) if known else None,
    }


def _numeric(node: xr.DataTree) -> list[str]:
    """The variables that can be compressed: texts have no fixed length."""
    variables = node.to_dataset().data_vars.items()
    return [str(name) for name, v in variables if v.ndim and v.dtype.kind not in "UO"]


def write(tree: xr.DataTree, path: Path) -> None:
    """Write the tree as NetCDF-4, compressed, in one step: a reader never sees half a file."""
    encoding = {
        n.path: {name: {"zlib": True, "complevel": 4} for name in _numeric(n)} for n in tree.subtree
    }
    temporary = path.with_name(f".{path.name}.part")
    path.parent.mkdir(parents=True, exist_ok=True)
    tree.to_netcdf(temporary, engine="netcdf4", encoding={k: v for k, v in encoding.items() if v})
    temporary.replace(path)


def read(path: Path) -> xr.DataTree:
    """The tree in `path`, in memory."""
    with xr.open_datatree(path, engine="netcdf4") as tree:
        return tree.load()


def read_attributes(path: Path, group: str) -> dict[str, Any]:
    """The attributes of one group of the tree in `path`, without the rest."""
    with xr.open_dataset(path, group=group, engine="netcdf4") as dataset:
        return dict(dataset.attrs)
