"""Merge the records of all jobs into one xarray DataTree with the axes as dimensions.

Cells that were excluded, are missing, failed to fit, or were made from another spec are NaN, and the status variable
beside each measured variable says which it is.
"""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from joulegrid import __version__
from joulegrid.records import SCHEMA_VERSION, InputError, git_commit
from joulegrid.study.grid import CELL_AXES, CONFIGURATION_AXES
from joulegrid.study.loading import metric_names
from joulegrid.study.specs import FETCHED_METHOD, Specs

COMPONENTS = ("cpu", "gpu", "ram")
STATUS = ("ok", "oom", "unsupported", "missing", "stale", "excluded")
BASIS = ("measured", "estimated", "absent")
STATUS_ATTRS = {
    "long_name": "status of the measurement",
    "flag_values": np.arange(len(STATUS), dtype="i1"),
    "flag_meanings": " ".join(STATUS),
}
BASIS_ATTRS = {
    "long_name": "how the energy of the component was obtained",
    "flag_values": np.arange(len(BASIS), dtype="i1"),
    "flag_meanings": " ".join(BASIS),
}
KERNEL_ATTRS = {"long_name": "what the linear layers computed with, and how many of them"}
# variable -> dimensions behind the cell's, long_name, units
ENERGY_VARIABLES = {
    "energy": (("repeat", "component"), "energy of one run of the workload", "J"),
    "duration": (("repeat",), "wall time of one run of the workload", "s"),
    "tokens_read": (("repeat",), "prompt tokens of one run", "1"),
    "tokens_written": (("repeat",), "generated tokens of one run", "1"),
    "idle_power": (("component",), "power with the model loaded and nothing to do", "W"),
    "loading_energy": (("component",), "energy of loading the model", "J"),
    "loading_time": ((), "wall time of loading the model", "s"),
    "peak_memory": ((), "peak resident memory of the process", "byte"),
    "peak_gpu_memory": ((), "peak memory allocated on all GPUs", "byte"),
    "weights_size": ((), "memory of the loaded weights", "byte"),
}
CHECKPOINT_VARIABLES = {
    "parameters": ("weights of the model, after structured pruning", "1"),
    "size": ("size of the weight files that are loaded", "byte"),
    "sparsity": ("share of zeros in the linear layers, where it was counted", "1"),
    "making_time": ("wall time of pruning and quantizing", "s"),
    "making_energy": ("energy of pruning and quantizing", "J"),
}

Missing = list[dict[str, str]]


def merge(specs: Specs, results: Path) -> tuple[xr.DataTree, Missing]:
    """Read all records below `results` into one tree.

    Returns
    -------
    The tree, with groups energy, quality, training and checkpoints, and a row {kind, path, status, reason} for each
    record that is not a measurement.
    """
    missing: Missing = []
    groups = {
        "/": xr.Dataset(attrs=_attributes(specs)),
        "/energy": _energy(specs, results, missing),
        "/quality": _quality(specs, results, missing),
        "/training": xr.Dataset(coords=_coords(specs, ("model", "training"))),
        "/checkpoints": _checkpoints(specs, results),
    }
    return xr.DataTree.from_dict(groups, name=specs.study.name), missing


def _attributes(specs: Specs) -> dict[str, Any]:
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return {
        "Conventions": "CF-1.12",
        "title": f"joulegrid study {specs.study.name}",
        "history": f"{now} merged by joulegrid {__version__}",
        "study": json.dumps(specs.study.data, sort_keys=True),
        "joulegrid_version": __version__,
        "git_commit": git_commit() or "unknown",
    }


def _coords(specs: Specs, axes: tuple[str, ...]) -> dict[str, list[str]]:
    """Labels in alphabetical order: the order in the study file means nothing and invalidates nothing."""
    return {axis: sorted(specs.study.labels(axis)) for axis in axes}


def _read(path: str, spec: dict, kind: str, missing: Missing) -> tuple[str, dict]:
    """One record and its status: ok, oom or unsupported as it says, stale where its spec is another.

    The path is a text: with pathlib, ten thousand take a fifth longer.
    """
    try:
        with open(path, "rb") as stream:
            record = json.loads(stream.read())
        status = record["status"] if record["schema_version"] == SCHEMA_VERSION else "stale"
        reason = record.get("reason", "")
        if status == "stale" or record["spec"] != spec:
            status, reason = "stale", "made from another version of the study, the code or the packages"
    except FileNotFoundError:
        record, status, reason = {}, "missing", ""
    except (ValueError, KeyError, TypeError):
        record, status, reason = {}, "missing", "the file is damaged: delete it and run snakemake again"
    if status != "ok":
        missing.append({"kind": kind, "path": path, "status": status, "reason": reason})
    return status, record


class _Filler:
    """Dense arrays over some axes, filled record by record."""

    def __init__(self, coords: dict[str, list[str]], axes: tuple[str, ...]):
        self.coords, self.axes = coords, axes
        self.shape = tuple(len(coords[axis]) for axis in axes)
        self.position = [{label: i for i, label in enumerate(coords[axis])} for axis in axes]
        self.arrays: dict[str, tuple[tuple[str, ...], np.ndarray, dict]] = {}

    def add(self, name: str, extra: tuple[str, ...], attrs: dict, fill: Any = np.nan, dtype: str = "f8") -> None:
        shape = (*self.shape, *(len(self.coords[d]) for d in extra))
        self.arrays[name] = ((*self.axes, *extra), np.full(shape, fill, dtype), attrs)

    def at(self, labels) -> tuple[int, ...]:
        return tuple(position[label] for position, label in zip(self.position, labels, strict=True))

    def set(self, name: str, index: tuple, value: Any) -> None:
        if value is not None:
            self.arrays[name][1][index] = value

    def dataset(self) -> xr.Dataset:
        return xr.Dataset(self.arrays, coords=self.coords)


def _energy(specs: Specs, results: Path, missing: Missing) -> xr.Dataset:
    repeats = specs.study.data["protocol"]["repeats"]
    coords = {
        **_coords(specs, CELL_AXES),
        "repeat": list(range(1, repeats + 1)),
        "component": list(COMPONENTS),
    }
    filler = _Filler(coords, CELL_AXES)
    filler.add("status", (), STATUS_ATTRS, STATUS.index("excluded"), "i1")
    filler.add("kernel", (), KERNEL_ATTRS, "", "O")
    filler.add("basis", ("component",), BASIS_ATTRS, BASIS.index("absent"), "i1")
    for name, (extra, long_name, units) in ENERGY_VARIABLES.items():
        filler.add(name, extra, {"long_name": long_name, "units": units, "ancillary_variables": "status"})
    methods: dict[tuple[str, str], set[str]] = {}
    for cell in specs.study.cells:
        path = f"{results}/energy/{cell.path}.json"
        status, record = _read(path, specs.energy(cell), "energy", missing)
        index = filler.at(cell)
        filler.set("status", index, STATUS.index(status))
        if status == "ok":
            try:
                _fill_cell(filler, index, record)
            except (KeyError, TypeError, ValueError):
                raise InputError(f"{path}: the record is damaged; delete it and run snakemake again") from None
            for component, how in record["components"].items():
                methods.setdefault((cell.hardware, component), set()).add(f"{how['basis']}: {how['method']}")
    dataset = filler.dataset()
    texts = [["; ".join(sorted(methods.get((h, c), ()))) for c in COMPONENTS] for h in coords["hardware"]]
    dataset["method"] = (
        ("hardware", "component"),
        texts,
        {"long_name": "how the energy of the component was obtained"},
    )
    return dataset


def _fill_cell(filler: _Filler, index: tuple, record: dict) -> None:
    runs = record["repeats"]
    filler.set("energy", index, [[run["energy_j"][c] for c in COMPONENTS] for run in runs])
    filler.set("duration", index, [run["seconds"] for run in runs])
    filler.set("tokens_read", index, [run["tokens_read"] for run in runs])
    filler.set("tokens_written", index, [run["tokens_written"] for run in runs])
    filler.set("basis", index, [BASIS.index(record["components"][c]["basis"]) for c in COMPONENTS])
    if record["idle_power_w"]:
        filler.set("idle_power", index, [record["idle_power_w"][c] for c in COMPONENTS])
    filler.set("loading_energy", index, [record["loading"]["energy_j"][c] for c in COMPONENTS])
    filler.set("loading_time", index, record["loading"]["seconds"])
    filler.set("peak_memory", index, record["peak_memory_bytes"]["ram"])
    filler.set("peak_gpu_memory", index, record["peak_memory_bytes"].get("gpu"))
    filler.set("weights_size", index, record["weights_bytes"])
    kernels = sorted(record["kernels"].items(), key=lambda item: (-item[1], item[0]))
    filler.set("kernel", index, ", ".join(f"{name} ×{count}" for name, count in kernels))


def _quality(specs: Specs, results: Path, missing: Missing) -> xr.Dataset:
    coords = {**_coords(specs, CONFIGURATION_AXES), "metric": sorted(metric_names(specs.study.data))}
    filler = _Filler(coords, CONFIGURATION_AXES)
    filler.add("status", ("metric",), STATUS_ATTRS, STATUS.index("excluded"), "i1")
    linked = {"units": "1", "ancillary_variables": "status"}
    filler.add("quality", ("metric",), {"long_name": "value of the quality metric", **linked})
    filler.add("stderr", ("metric",), {"long_name": "standard error of the quality metric", **linked})
    higher = dict.fromkeys(coords["metric"], 1)
    for configuration in specs.study.configurations:
        for task in specs.study.labels("quality"):
            path = f"{results}/quality/{configuration.path}/{task}.json"
            status, record = _read(path, specs.quality(configuration, task), "quality", missing)
            for metric in metric_names({"quality": {task: specs.study.data["quality"][task]}}):
                index = (*filler.at(configuration), coords["metric"].index(metric))
                filler.set("status", index, STATUS.index(status))
                if status == "ok":
                    found = record["metrics"][metric.removeprefix(f"{task}.")]
                    filler.set("quality", index, found["value"])
                    filler.set("stderr", index, found["stderr"])
                    higher[metric] = int(found["higher_is_better"])
    dataset = filler.dataset()
    flags = {"flag_values": np.array([0, 1], "i1"), "flag_meanings": "lower_is_better higher_is_better"}
    values = np.array([higher[m] for m in coords["metric"]], "i1")
    dataset["direction"] = ("metric", values, {"long_name": "which way the metric is better", **flags})
    return dataset


def _checkpoints(specs: Specs, results: Path) -> xr.Dataset:
    filler = _Filler(_coords(specs, CONFIGURATION_AXES), CONFIGURATION_AXES)
    for name, (long_name, units) in CHECKPOINT_VARIABLES.items():
        filler.add(name, (), {"long_name": long_name, "units": units})
    for configuration in specs.study.configurations:
        model, training, pruning, _ = configuration
        status, record = _read(
            f"{results}/checkpoints/{configuration.path}/checkpoint.json",
            specs.checkpoint(configuration),
            "",
            [],
        )
        if status != "ok":
            continue
        costs = [record["cost"]] if "cost" in record else []
        if specs.study.data["pruning"][pruning]["method"] != "none":
            path = f"{results}/pruned/{model}/{training}/{pruning}.json"
            costs.append(_read(path, specs.pruned(model, training, pruning), "", [])[1].get("cost", {}))
        index = filler.at(configuration)
        filler.set("parameters", index, record["parameters"])
        filler.set("size", index, record["bytes"])
        filler.set("sparsity", index, record.get("sparsity", {}).get("mean"))
        if specs.study.data["quantization"][configuration.quantization]["method"] == FETCHED_METHOD:
            continue  # what it cost others to make is not known
        filler.set("making_time", index, sum(cost.get("seconds", np.nan) for cost in costs))
        filler.set("making_energy", index, sum(sum(c["energy_j"].values()) if c else np.nan for c in costs))
    return filler.dataset()


def _numeric(node: xr.DataTree) -> list[str]:
    """The variables that can be compressed: texts have no fixed length."""
    return [name for name, v in node.to_dataset().data_vars.items() if v.ndim and v.dtype.kind not in "UO"]


def write(tree: xr.DataTree, path: Path) -> None:
    """Write the tree as NetCDF-4, compressed, in one step: a reader never sees half a file."""
    encoding = {node.path: {name: {"zlib": True, "complevel": 4} for name in _numeric(node)} for node in tree.subtree}
    temporary = path.with_name(f".{path.name}.part")
    path.parent.mkdir(parents=True, exist_ok=True)
    tree.to_netcdf(temporary, engine="netcdf4", encoding={k: v for k, v in encoding.items() if v})
    temporary.replace(path)


def read(path: Path) -> xr.DataTree:
    """The tree in `path`, in memory."""
    with xr.open_datatree(path, engine="netcdf4") as tree:
        return tree.load()
