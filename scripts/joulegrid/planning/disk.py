"""Bytes that a run will write as weights, and fetch from the hub. What lies there is in neither."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from joulegrid.planning.architecture import Architecture
from joulegrid.planning.formats import Format, of
from joulegrid.planning.memory import FLOAT32, lora_parameters, weights_bytes
from joulegrid.planning.ranges import Range, spread, times
from joulegrid.planning.sizes import Models, folder_of
from joulegrid.study.job import Job
from joulegrid.study.methods import Weights, method, method_name
from joulegrid.study.shelf import MARKERS

# σ of a size that is known by formulas: norms, scales and mixes of types
SIGMA = 0.03
# Of any board: on disk a format has the same bits wherever it is loaded
NEWEST = (9, 0)
ADAM_STATES = 2  # that the last epoch is kept with, in 32 bits


class Bytes(NamedTuple):
    """Of some folders of weights, or models to fetch.

    Parameters
    ----------
    number
        how many there are.
    unknown
        of how many of them the size is not known.
    size
        of the others, bytes.
    """

    number: int
    unknown: int
    size: Range


def written(data: Mapping[str, Any], jobs: Iterable[Job], models: Models) -> Bytes:
    """Weights that some jobs write below the artifacts. A hub's or a user's model is linked to, not
    copied.
    """
    sizes = [
        _size_of(job, data, models)
        for job in jobs
        if job.kind in MARKERS and _is_written(job, data)
    ]
    return _sum(sizes)


def fetched(data: Mapping[str, Any], jobs: Iterable[Job], models: Models) -> Bytes:
    """Models and ready-made weights of the hub that its cache does not hold."""
    entries: dict[tuple[str, str], float | None] = {}
    for job in jobs:
        entry = _source(job, data)
        if entry is None or _is_cached(folder_of(entry)):
            continue
        size = _plain_bytes(job.labels[0], models) if job.kind == "models" else None
        entries[entry["hub"], entry["revision"]] = size
    return _sum(entries.values())


def _source(job: Job, data: Mapping[str, Any]) -> dict[str, Any] | None:
    """What a job has to fetch from the hub."""
    entry = {}
    if job.kind == "models":
        entry = data["model"][job.labels[0]]
    elif job.kind == "weights":
        entry = data["quantization"][job.labels[3]].get("models", {}).get(job.labels[0], {})
    return entry if "hub" in entry else None


def _is_cached(folder: Path | None) -> bool:
    """Whether weights lie in a folder of the hub's cache; links to what was deleted are none."""
    return folder is not None and any(path.exists() for path in folder.glob("*.safetensors"))


def _is_written(job: Job, data: Mapping[str, Any]) -> bool:
    """Whether a job writes weights of its own."""
    if job.kind == "models":
        return method_name("model", data["model"][job.labels[0]]) in ("random", "wheel")
    if job.kind == "weights":
        return method("quantization", data["quantization"][job.labels[3]]).weights == Weights.MADE
    return True


def _size_of(job: Job, data: Mapping[str, Any], models: Models) -> float | None:
    model = models.sizes(job.labels[0])
    if model is None:
        return None
    if job.kind == "training":
        return _epochs_bytes(data["training"][job.labels[1]], model)
    if job.kind != "weights":
        return _plain_bytes(job.labels[0], models)
    quantization = data["quantization"][job.labels[3]]
    form = _on_disk(quantization)
    return None if form is None else weights_bytes(model, form)


def _on_disk(quantization: dict[str, Any]) -> Format | None:
    engine = "llamacpp" if quantization["method"] == "gguf" else "transformers"
    return of(quantization, engine, NEWEST)


def _epochs_bytes(entry: dict[str, Any], model: Architecture) -> float:
    """The weights, or the adapters, of every epoch; of the last also what training would go on
    with.
    """
    whole = entry["method"] == "full"
    trained = model.parameters if whole else lora_parameters(model, entry["rank"])
    return trained * FLOAT32 * (entry["epochs"] + ADAM_STATES)


def _plain_bytes(label: str, models: Models) -> float | None:
    """Of a model as it is stored: in the bits that its config.json says, else 16."""
    model, config = models.sizes(label), models.config(label) or {}
    if model is None:
        return None
    dtype = config.get("dtype") or config.get("torch_dtype") or ""
    return model.parameters * (4.0 if dtype == "float32" else 2.0)


def _sum(sizes: Iterable[float | None]) -> Bytes:
    found = list(sizes)
    total = sum(size for size in found if size)
    size = spread(total, SIGMA) if total else times(spread(1.0, SIGMA), 0.0)
    return Bytes(len(found), found.count(None), size)
