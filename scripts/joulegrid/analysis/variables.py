"""The variables of the dataset, group by group, with what a reader must know of each: the one place
for attributes.

Units are spelled for UDUNITS. Every measured group has a `status` that says why a number is
missing.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

STATUS = ("ok", "oom", "unsupported", "diverged", "missing", "excluded")
BASIS = ("measured", "estimated", "guess", "absent")
DIRECTION = ("lower_is_better", "higher_is_better")
LINKS = ("mean", "exp")
COMPONENTS = ("cpu", "gpu", "ram")


@dataclass(frozen=True)
class Variable:
    """One variable.

    Parameters
    ----------
    extra
        dimensions behind those of the group.
    units
        for UDUNITS; None for texts and flags.
    flags
        what the codes 0, 1, 2 … mean.
    """

    long_name: str
    units: str | None = "1"
    extra: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()
    comment: str = ""
    dtype: str = field(default="f8")

    @property
    def fill(self) -> Any:
        """The value where there is no record."""
        if self.flags:
            return len(self.flags) - 1  # excluded, absent: the last flag is the one of nothing
        return "" if self.dtype == "O" else np.nan

    @property
    def attrs(self) -> dict[str, Any]:
        """CF attributes."""
        found: dict[str, Any] = {"long_name": self.long_name}
        if self.units is not None:
            found["units"] = self.units
        if self.flags:
            found["flag_values"] = np.arange(len(self.flags), dtype="i1")
            found["flag_meanings"] = " ".join(self.flags)
        return found | ({"comment": self.comment} if self.comment else {})


def text(long_name: str, comment: str = "", extra: tuple[str, ...] = ()) -> Variable:
    """A variable of words."""
    return Variable(long_name, None, extra, comment=comment, dtype="O")


_STATUS = Variable("status of the record", None, flags=STATUS, dtype="i1")
_PER_COMPONENT = ("component",)
_ACCEPTED = text(
    "why a result of earlier code or packages was kept", "empty where it is of the present ones"
)

# axis -> what its labels stand for, as coordinates along it: one selects by them. Their names are
# those of no variable.
FACTS = {
    "model": {
        "model_parameters": Variable("weights of the model as it was obtained"),
        "model_size": Variable("size of the weight files of the model as it was obtained", "byte"),
    },
    "pruning": {
        "pruning_method": text("method of the pruning"),
        "target_sparsity": Variable(
            "share of zeros that the pruning aims at in the layers that it prunes",
            comment="0 where nothing, or whole parts, are cut out; what came of it is "
            "weights/sparsity",
        ),
    },
    "quantization": {
        "quantization_method": text("method of the quantization"),
        "bits": Variable(
            "nominal bits of a weight of the quantized layers",
            comment="scales and zero points come on top; NaN of ready-made weights",
        ),
    },
    "hardware": {
        "hardware_cpu": text("name of the CPU", "empty where the sessions of a label differ"),
        "hardware_gpu": text("names of the GPUs", "empty where there is none or they differ"),
        "hardware_gpu_memory": Variable(
            "memory of one GPU", "byte", comment="NaN where there is none or they differ"
        ),
    },
}
# dimension -> what its labels are
DIMENSIONS = {
    "model": "label of the model",
    "training": "label of the fine-tuning",
    "pruning": "label of the pruning",
    "quantization": "label of the quantization",
    "hardware": "label of the hardware setup",
    "engine": "label of the inference engine",
    "workload": "label of the workload",
    "epoch": "number of the epoch of a fine-tuning, from 1",
    "quantile": "share of the samples that are not longer",
    "session": "number of the independent measurement of a cell",
    "component": "part of the machine",
    "metric": "quality metric, TASK.METRIC",
    "zone": "zone of the electricity grid",
    "to": "zone that the work would move to",
    "kind": "kind of the jobs",
    "month": "month of the year",
    "hour": "hour of the day (UTC)",
    "job_hours": "length of the job in hours",
    "slack_hours": "by how many hours the start may be late",
    "start": "when the job starts",
    "row": "number of the published value",
}
_ID = text("id of the record", "empty where there is none")

# dims: the cell's axes, session
ENERGY = {
    "status": _STATUS,
    "id": _ID,
    "energy": Variable("energy of all windows of the session", "J", _PER_COMPONENT),
    "duration": Variable("wall time of all windows of the session", "s"),
    "windows": Variable("number of windows"),
    "runs": Variable("how often the workload ran in all windows"),
    "tokens_read": Variable("prompt tokens of all windows"),
    "tokens_written": Variable("generated tokens of all windows"),
    "codecarbon_energy": Variable(
        "energy of all windows of the session as CodeCarbon says it", "J", _PER_COMPONENT
    ),
    "disturbed": Variable("share of the windows that count although the machine was disturbed"),
    "replaced": Variable("number of windows that were disturbed and do not count"),
    "foreign_cpu": Variable("share of the job's CPUs that other processes used"),
    "neighbours_cpu": Variable("load of the machine's CPUs that are not the job's"),
    "cpu_clock": Variable("mean clock of the job's CPUs, where the machine says it", "MHz"),
    "reference_time": Variable("wall time of a fixed piece of work before the session", "s"),
    "reference_gpu_time": Variable("the same on the slowest of the GPUs", "s"),
    "prefill_energy": Variable(
        "energy of all windows with one generated token per request", "J", _PER_COMPONENT
    ),
    "prefill_duration": Variable("wall time of these windows", "s"),
    "prefill_runs": Variable("how often the workload ran in these windows"),
    "prefill_tokens_read": Variable("prompt tokens of these windows"),
    "prefill_requests": Variable("requests of one run of these windows"),
    "idle_power_before": Variable("power before the model is loaded", "W", _PER_COMPONENT),
    "idle_power_end": Variable("power with the model loaded, at the end", "W", _PER_COMPONENT),
    "idle_power": Variable("power with the model loaded and nothing to do", "W", _PER_COMPONENT),
    "idle_disturbed": Variable("1 if the machine was disturbed when idle_power was measured"),
    "loading_energy": Variable("energy of loading the model", "J", _PER_COMPONENT),
    "loading_time": Variable("wall time of loading the model", "s"),
    "peak_memory": Variable(
        "peak resident memory of the process; of an engine with more, their sum", "byte"
    ),
    "peak_gpu_memory": Variable("peak memory allocated on all GPUs", "byte"),
    "weights_size": Variable("memory of the loaded weights", "byte"),
    "basis": Variable(
        "how the energy of the component was obtained", None, _PER_COMPONENT, BASIS, dtype="i1"
    ),
    "kernel": text("what the linear layers computed with, and how many of them"),
    "settings": text("how else the engine computed: attention, cache, compilation, threads"),
    "cpu": text("name of the CPU"),
    "gpu": text("names of the GPUs"),
    "gpu_memory": Variable("memory of one GPU", "byte"),
    "gpu_uuid": text("identity of the boards", "two boards of one model differ by some percent"),
    "host": text("name of the machine"),
    "started": text("when the session began (UTC)"),
    "warnings": text("what the meter warned of"),
    "reason": text("why there is no number"),
    "accepted": _ACCEPTED,
}
# dims: model, training, pruning, quantization, metric
QUALITY = {
    "status": _STATUS,
    "id": _ID,
    "quality": Variable("value of the quality metric"),
    "stderr": Variable("standard error of the quality metric"),
    "reason": text("why there is no number"),
    "accepted": _ACCEPTED,
}
# dims: model, training, pruning, quantization, metric, sample; link: metric
SAMPLES = {
    "total": Variable("what a sample adds to the metric", comment="a metric is Σ total / Σ weight"),
    "weight": Variable("what the total of a sample is divided by"),
    "link": Variable(
        "whether the metric is that mean or its exponential", None, flags=LINKS, dtype="i1"
    ),
}
# dims: model, training, pruning, quantization
WEIGHTS = {
    "id": text("id of the record of the weights that are loaded", "empty where there is none"),
    "parameters": Variable("weights of the model, after structured pruning"),
    "size": Variable("size of the weight files that are loaded", "byte"),
    "sparsity": Variable("share of zeros in the linear layers, where it was counted"),
    "making_time": Variable("wall time of training, pruning and quantizing", "s"),
    "making_energy": Variable(
        "energy of training, pruning and quantizing",
        "J",
        comment="of a training all its epochs with their validation, shared ones too; not what was "
        "lost by interruptions",
    ),
    "accepted": _ACCEPTED,
}
_PER_EPOCH = ("epoch",)
_OF_EPOCH = ("epoch", "component")
# dims: model, training
TRAINING = {
    "status": _STATUS,
    "id": _ID,
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
        "1 if something else used the machine during an epoch",
        extra=_PER_EPOCH,
        comment="no epoch is trained again for that: it counts, and is marked",
    ),
    "shared": Variable(
        "1 if an epoch was trained for a shorter training that this one goes on with",
        extra=_PER_EPOCH,
    ),
    "basis": Variable(
        "how the energy of the component was obtained", None, _OF_EPOCH, BASIS, dtype="i1"
    ),
    "lost_energy": Variable(
        "energy of epochs that were interrupted and begun anew",
        "J",
        _PER_COMPONENT,
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
    "accepted": _ACCEPTED,
}
# Jobs that use energy, in the order of the pipeline
KINDS = ("training", "trained", "pruned", "weights", "quality", "energy")
# dims: kind
COST = {
    "jobs": Variable("number of jobs whose results are there"),
    "duration": Variable("wall time of these jobs", "s"),
    "energy": Variable(
        "energy of these jobs, all components",
        "J",
        comment="of measuring jobs the mean power of what was metered times their whole time; "
        "loading for quality and fetching are left out",
    ),
}
