"""The group training: every fine-tuning of a study, epoch by epoch."""

from collections.abc import Callable
from typing import Any

import numpy as np
import xarray as xr

from joulegrid.analysis.recorded import Epoch, Made, Trained, Training
from joulegrid.analysis.table import Table
from joulegrid.analysis.variables import BASIS, COMPONENTS, TRAINING
from joulegrid.study.specs import Job, Specs

# Of the lengths of samples, as `training.data` takes them
QUANTILES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)
Row = dict[str, Any]


def group(specs: Specs, labels: dict[str, list[str]], row_of: Callable[[Job], Row]) -> xr.Dataset:
    """The group, of all trainings that a configuration of the study is made from.

    Parameters
    ----------
    labels
        of models and trainings.
    row_of
        the row of a job's record, see `reading.Records.row`.
    """
    entries = specs.study.data["training"]
    most = max(entry.get("epochs", 1) for entry in entries.values())
    extra: dict[str, list[Any]] = {
        "epoch": list(range(1, most + 1)),
        "component": list(COMPONENTS),
        "quantile": list(QUANTILES),
    }
    table = Table(labels, TRAINING, extra)
    wanted = {c[:2] for c in specs.study.configurations if "epochs" in entries[c.training]}
    for model, training in sorted(wanted):
        row = row_of(specs.training(model, training))
        merged = row_of(specs.trained(model, training))
        found = {key: _padded(value, most) for key, value in row.items()}
        table.add((model, training), {**found, "merged_loss": merged.get("merged_loss")})
    return table.dataset()


def _padded(value: Any, most: int) -> Any:
    """Values by epoch, as long as the longest training of the study."""
    if not isinstance(value, _ByEpoch):
        return value
    nothing = [value.fill] * len(value[0]) if isinstance(value[0], list) else value.fill
    return [*value, *[nothing] * (most - len(value))]


class _ByEpoch(list):
    """Values of the epochs of one training, by component or not; `fill` stands behind the last."""

    fill: float = np.nan


def training_row(record: Training) -> Row:
    """What the record of a training says, by the names of the group's variables."""

    def of(value: Callable[[Epoch], Any]) -> _ByEpoch:
        return _ByEpoch(value(epoch) for epoch in record.epochs)

    lost, data = record.lost, record.data
    basis = of(lambda e: [BASIS.index(getattr(e.basis, c)) for c in COMPONENTS])
    basis.fill = TRAINING["basis"].fill
    return {
        "energy": of(lambda e: e.energy_j.listed()),
        "duration": of(lambda e: e.seconds),
        "codecarbon_energy": of(lambda e: e.codecarbon_j.listed()),
        "training_loss": of(lambda e: e.training_loss),
        "validation_loss": of(lambda e: e.validation_loss),
        "validation_energy": of(lambda e: e.validation.energy_j.listed()),
        "validation_duration": of(lambda e: e.validation.seconds),
        "tokens_per_second": of(lambda e: e.tokens_per_s),
        "peak_memory": of(lambda e: e.memory_bytes.ram),
        "peak_gpu_memory": of(lambda e: e.memory_bytes.gpu),
        "disturbed": of(lambda e: float(bool(e.disturbed))),
        "shared": of(lambda e: float(e.shared_with is not None)),
        "basis": basis,
        "lost_energy": [sum(part.energy_j.get(c, 0.0) for part in lost) for c in COMPONENTS],
        "lost_duration": sum(part.seconds for part in lost),
        "interruptions": float(len(lost)),
        "initial_loss": record.validation_loss,
        "trainable_parameters": record.trainable_parameters,
        "training_samples": data.training_samples,
        "validation_samples": data.validation_samples,
        "tokens": data.tokens,
        "answer_tokens": data.answer_tokens,
        "sample_tokens": data.sample_tokens,
        "counted": ", ".join(f"{count} {reason}" for reason, count in data.counted.items()),
        "hosts": ", ".join(dict.fromkeys(epoch.host for epoch in record.epochs)),
        "device": ", ".join(gpu.name for gpu in record.device.gpus) or record.device.cpu,
    }


def trained_row(record: Trained) -> Row:
    """What the record of weights out of a training says of that."""
    return {"merged_loss": record.validation_loss}


# kind of job -> the shape of its record, and what it says beside what all weights have
SHAPES: dict[str, tuple[type[Made], Callable[[Any], Row]]] = {
    "training": (Training, training_row),
    "trained": (Trained, trained_row),
}
