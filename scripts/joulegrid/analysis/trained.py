"""The group training: every fine-tuning of a study, epoch by epoch."""

from collections.abc import Callable
from typing import Any

import numpy as np
import xarray as xr
from msgspec.json import decode

from joulegrid.analysis.recorded import Cost
from joulegrid.analysis.recorded.making import Data, Ended, Epoch, Made, Trained, Training
from joulegrid.analysis.table import Table
from joulegrid.analysis.variables import (
    ACCEPTED,
    BASIS,
    COMPONENTS,
    ID,
    PER_COMPONENT,
    QUANTILES,
    RECORD_STATUS,
    STATUS,
    Variable,
    text,
)
from joulegrid.records import DIVERGED, OK, OOM, UNSUPPORTED
from joulegrid.study.grid import short_name
from joulegrid.study.specs import Job, Specs

Row = dict[str, Any]
_PER_EPOCH = ("epoch",)
_OF_EPOCH = ("epoch", "component")
# Changes of a loss below it, nats per token, are those of rounding
TOLD_LOSS = 5e-4
# dims: model, training
TRAINING = {
    "status": RECORD_STATUS,
    "id": ID,
    "energy": Variable("energy of training an epoch", "J", _OF_EPOCH),
    "duration": Variable("wall time of training an epoch", "s", _PER_EPOCH),
    "codecarbon_energy": Variable(
        "energy of training an epoch as CodeCarbon says it", "J", _OF_EPOCH
    ),
    "training_loss": Variable(
        "mean loss of the steps of an epoch, nats per token",
        extra=_PER_EPOCH,
        comment="each before its own update",
    ),
    "validation_loss": Variable(
        "loss of the validation samples after an epoch, nats per token", extra=_PER_EPOCH
    ),
    "validation_energy": Variable("energy of validating after an epoch", "J", _OF_EPOCH),
    "validation_duration": Variable("wall time of validating after an epoch", "s", _PER_EPOCH),
    "tokens_per_second": Variable("tokens trained on per second", "s-1", _PER_EPOCH),
    "peak_memory": Variable(
        "peak resident memory of the process until the end of an epoch", "byte", _PER_EPOCH
    ),
    "peak_gpu_memory": Variable(
        "peak memory allocated on all GPUs in an epoch", "byte", _PER_EPOCH
    ),
    "disturbed": Variable(
        "1 if something else used the machine during an epoch, or validating after it",
        extra=_PER_EPOCH,
        comment="no epoch is trained again for that: it counts, and is marked",
    ),
    "wrong": Variable(
        "1 if the meter was read wrongly during an epoch, or validating after it",
        extra=_PER_EPOCH,
        comment="its energy is what was read, and counts in no sum over the training",
    ),
    "shared": Variable(
        "1 if an epoch was trained for a shorter training that this one goes on with",
        extra=_PER_EPOCH,
    ),
    "basis": Variable(
        "how the energy of the component was obtained", None, _OF_EPOCH, BASIS, dtype="i1"
    ),
    "lost_energy": Variable(
        "energy of epochs that came to no end: interrupted and begun anew, or ended by a finding",
        "J",
        PER_COMPONENT,
        comment="at least: as last noted, some seconds before the end",
    ),
    "lost_duration": Variable("wall time of these epochs", "s"),
    "interruptions": Variable("how often an epoch was interrupted"),
    "initial_loss": Variable("loss of the validation samples before training, nats per token"),
    "merged_loss": Variable(
        "loss of the validation samples with the weights that are pruned or quantized",
        comment="adapters merged into the full-precision base, stored in its type; nats per token",
    ),
    "trainable_parameters": Variable("weights that are trained"),
    "training_samples": Variable("samples trained on in every epoch"),
    "validation_samples": Variable("samples validated with"),
    "tokens": Variable("tokens trained on in every epoch"),
    "answer_tokens": Variable("tokens of them that count in the loss"),
    "sample_tokens": Variable(
        "length of the samples of the data set in tokens, before any is dropped or cut",
        extra=("quantile",),
    ),
    "counted": text("rows and samples that were left out, cut or suspicious, by reason"),
    "device": text("names of the GPUs that trained last, or of the CPU"),
    "hosts": text("names of the machines that trained, in their order"),
    "reason": text("why there is no number"),
    "accepted": ACCEPTED,
}


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
    return {
        **_of_epochs(record.epochs),
        **_of_lost(record.lost),
        **_of_data(record.data),
        "initial_loss": record.validation_loss,
        "trainable_parameters": record.trainable_parameters,
        "device": ", ".join(gpu.name for gpu in record.device.gpus) or record.device.cpu,
    }


def _of_lost(lost: list[Cost]) -> Row:
    return {
        "lost_energy": [sum(part.energy_j.get(c, 0.0) for part in lost) for c in COMPONENTS],
        "lost_duration": sum(part.seconds for part in lost),
        "interruptions": float(sum(part.ended is None for part in lost)),
    }


def _of_data(data: Data) -> Row:
    return {
        "training_samples": data.training_samples,
        "validation_samples": data.validation_samples,
        "tokens": data.tokens,
        "answer_tokens": data.answer_tokens,
        "sample_tokens": data.sample_tokens,
        "counted": ", ".join(f"{count} {reason}" for reason, count in data.counted.items()),
    }


def of_ended(record: Ended) -> Row:
    """What that of a training says that diverged or ran out of memory: the epochs before, those
    without an end, and its data as far as it came.
    """
    epochs = decode(record.epochs, type=list[Epoch])
    lost = decode(record.lost, type=list[Cost])
    data = decode(record.data, type=Data | None)
    first = decode(record.validation_loss, type=float | None)
    return {
        **(_of_epochs(epochs) if epochs else {}),
        **(_of_lost(lost) if epochs or lost else {}),
        **(_of_data(data) if data else {}),
        **({} if first is None else {"initial_loss": first}),
    }


def _of_epochs(epochs: list[Epoch]) -> Row:
    def of(value: Callable[[Epoch], Any]) -> _ByEpoch:
        return _ByEpoch(value(epoch) for epoch in epochs)

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
        "disturbed": of(lambda e: float(bool(e.disturbed or e.validation.disturbed))),
        "wrong": of(lambda e: float(bool(e.wrong or e.validation.wrong))),
        "shared": of(lambda e: float(e.shared_with is not None)),
        "basis": basis,
        "hosts": ", ".join(dict.fromkeys(epoch.host for epoch in epochs)),
    }


def trained_row(record: Trained) -> Row:
    """What the record of weights out of a training says of that."""
    return {"merged_loss": record.validation_loss}


# kind of job -> the shape of its record, and what it says beside what all weights have
SHAPES: dict[str, tuple[type[Made], Callable[[Any], Row]]] = {
    "training": (Training, training_row),
    "trained": (Trained, trained_row),
}


def sentences(group: xr.Dataset) -> list[str]:
    """What a reader must know of trainings, those of which the same is said together: why they
    ended, what of their data was left out, what interruptions took, what merging changed.

    Parameters
    ----------
    group
        the group training; empty where nothing was trained.
    """
    told: dict[str, list[str]] = {}
    if "counted" in group:
        several = group.sizes["model"] > 1
        for model in group.model.values:
            for training in group.training.values:
                name = short_name([*([model] if several else []), training])
                for said in _told(group.sel(model=model, training=training)):
                    told.setdefault(said, []).append(name)
    return [f"{', '.join(names)}: {said}." for said, names in told.items()]


def _told(one: xr.Dataset) -> list[str]:
    """It of one training."""
    found = []
    if STATUS[int(one.status)] in (OOM, UNSUPPORTED, DIVERGED):
        found.append(f"{STATUS[int(one.status)]}: {one.reason.item()}")
    if counted := one.counted.item().replace("_", " "):
        found.append(f"of its data were left out, cut or suspicious: {counted}")
    found += _told_of_meter(one)
    if one.interruptions > 0 or one.lost_duration > 0:
        found.append(_told_of_lost(one))
    losses = one.validation_loss.values[np.isfinite(one.validation_loss.values)]
    if losses.size and abs(float(one.merged_loss) - losses[-1]) >= TOLD_LOSS:
        found.append(
            f"its validation loss is {float(one.merged_loss):.4f} merged into the base, and was "
            f"{losses[-1]:.4f} as trained"
        )
    return found


def _told_of_meter(one: xr.Dataset) -> list[str]:
    """Epochs whose energy was read while something disturbed it, or wrongly."""
    wrong = one.wrong.values > 0
    masks = {"disturbed": (one.disturbed.values > 0) & ~wrong, "wrong": wrong}
    epochs = {
        name: ", ".join(str(epoch) for epoch in one.epoch.values[mask])
        for name, mask in masks.items()
    }
    found = []
    if epochs["disturbed"]:
        found.append(f"the machine was disturbed in epoch {epochs['disturbed']}, which counts")
    if epochs["wrong"]:
        found.append(
            f"the meter was read wrongly in epoch {epochs['wrong']}: what making it took is not "
            "known"
        )
    return found


def _told_of_lost(one: xr.Dataset) -> str:
    joules, seconds = float(one.lost_energy.sum()), float(one.lost_duration)
    took = f"{joules:.4g} J and {seconds:.3g} s at least"
    often = int(one.interruptions)
    said = f"interrupted {'once' if often == 1 else f'{often} times'}" if often else ""
    if STATUS[int(one.status)] == OK:
        return f"{said}, which lost {took}"
    return f"{f'{said}; ' if said else ''}epochs without an end took {took}"
