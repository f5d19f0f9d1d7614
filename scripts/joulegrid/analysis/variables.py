"""The variables of the dataset, group by group, with what a reader must know of each: the one place
for attributes.

Units are spelled for UDUNITS. Every measured group has a `status` that says why a number is
missing.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import xarray as xr

STATUS = ("ok", "oom", "unsupported", "diverged", "infeasible", "missing", "excluded")
BASIS = ("measured", "estimated", "guess", "absent")
DIRECTION = ("lower_is_better", "higher_is_better")
LINKS = ("mean", "exp")
COMPONENTS = ("cpu", "gpu", "ram")
# Why there is no quality of a model whose weights were drawn
NOT_MEANINGFUL = "quality is not meaningful: the weights of the model are random"


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

    def described(self, array: xr.DataArray, *dims: str) -> xr.DataArray:
        """`array` over `dims` in this order, with these attributes, and no coordinates beside the
        labels.
        """
        ordered = array.reset_coords(drop=True).transpose(*dims)
        return ordered.drop_attrs().assign_attrs(self.attrs)


def text(long_name: str, comment: str = "", extra: tuple[str, ...] = ()) -> Variable:
    """A variable of words."""
    return Variable(long_name, None, extra, comment=comment, dtype="O")


RECORD_STATUS = Variable("status of the record", None, flags=STATUS, dtype="i1")
PER_COMPONENT = ("component",)
ACCEPTED = text(
    "why a result of earlier code or packages was kept", "empty where it is of the present ones"
)

# axis -> what its labels stand for, as coordinates along it: one selects by them. Their names are
# those of no variable.
FACTS = {
    "model": {
        "model_parameters": Variable("weights of the model as it was obtained"),
        "model_size": Variable("size of the weight files of the model as it was obtained", "byte"),
        "model_random": Variable(
            "1 where the weights of the model are random",
            comment="its quality is not meaningful: the group quality has no values of it",
        ),
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
    "quantile": "share of the requests, or samples, that are not longer",
    "session": "number of the independent measurement of a cell",
    "component": "part of the machine",
    "point": "number of the point of a sweep",
    "percentile": "share of the requests that do not take longer, in percent",
    "begin": "of the hours at which a replay could begin: the mean, the best, the worst",
    "bin": "number of the bin of time",
    "metric": "quality metric, TASK.METRIC",
    "task": "label of a quality task",
    "zone": "zone of the electricity grid",
    "to": "zone that the work would move to",
    "bound": "end of the interval",
    "kind": "kind of the jobs",
    "month": "month of the year",
    "hour": "hour of the day (UTC)",
    "job_hours": "length of the job in hours",
    "slack_hours": "by how many hours the start may be late",
    "start": "when the job starts",
    "row": "number of the published value",
}
# Of labels that are numbers; of others than these it is 1
UNITS_OF_LABELS = {"hour": "h", "job_hours": "h", "slack_hours": "h", "percentile": "percent"}
ID = text("id of the record", "empty where there is none")

_SWEEP = "of a sweep the sum over its points of the mean of one run each"

# dims: the cell's axes, session
ENERGY = {
    "status": RECORD_STATUS,
    "id": ID,
    "energy": Variable(
        "energy of all windows of the session",
        "J",
        PER_COMPONENT,
        comment=f"{_SWEEP}; NaN where a point could not run",
    ),
    "duration": Variable("wall time of all windows of the session", "s", comment=_SWEEP),
    "windows": Variable("number of windows"),
    "runs": Variable("how often the workload ran in all windows", comment="1 of a sweep"),
    "requests": Variable("requests of all windows", comment=_SWEEP),
    "tokens_read": Variable("prompt tokens of all windows", comment=_SWEEP),
    "tokens_written": Variable("generated tokens of all windows", comment=_SWEEP),
    "padding": Variable(
        "positions that were computed beside prompts and answers, to fill up batches",
        comment=f"of all windows; {_SWEEP}",
    ),
    "codecarbon_energy": Variable("energy of all windows by CodeCarbon", "J", PER_COMPONENT),
    "disturbed": Variable("share of the windows, also of prefill, that count although disturbed"),
    "replaced": Variable("number of windows that were disturbed and do not count"),
    "foreign_cpu": Variable("share of the job's CPUs that other processes used"),
    "neighbours_cpu": Variable("load of the machine's CPUs that are not the job's"),
    "cpu_clock": Variable("mean clock of the job's CPUs, where the machine says it", "MHz"),
    "reference_time": Variable("wall time of a fixed piece of work before the session", "s"),
    "reference_gpu_time": Variable("wall time of such a piece on the slowest of the GPUs", "s"),
    "prefill_energy": Variable(
        "energy of all windows with one generated token per request", "J", PER_COMPONENT
    ),
    "prefill_duration": Variable("wall time of the windows of prefill", "s"),
    "prefill_runs": Variable("how often the workload ran in the windows of prefill"),
    "prefill_tokens_read": Variable("prompt tokens of the windows of prefill"),
    "prefill_requests": Variable("requests of one run of the windows of prefill"),
    "idle_power_before": Variable("power before the model is loaded", "W", PER_COMPONENT),
    "idle_power_end": Variable("power with the model loaded, at the end", "W", PER_COMPONENT),
    "idle_power": Variable("power with the model loaded and nothing to do", "W", PER_COMPONENT),
    "idle_disturbed": Variable("1 if the machine was disturbed when idle_power was measured"),
    "loading_energy": Variable("energy of loading the model", "J", PER_COMPONENT),
    "loading_time": Variable("wall time of loading the model", "s"),
    "peak_memory": Variable(
        "peak resident memory of the process; of an engine with more, their sum", "byte"
    ),
    "peak_gpu_memory": Variable("peak memory allocated on all GPUs", "byte"),
    "weights_size": Variable("memory of the loaded weights", "byte"),
    "basis": Variable(
        "how the energy of the component was obtained", None, PER_COMPONENT, BASIS, dtype="i1"
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
    "accepted": ACCEPTED,
}
# dims: the cell's axes, session, point; of workloads that have several points
POINTS = {
    "status": RECORD_STATUS,
    "prompt_tokens": Variable("prompt tokens of a request, mean"),
    "new_tokens": Variable("generated tokens of a request, mean"),
    "concurrency": Variable(
        "requests under way at once", comment="NaN where the engine entry alone decides"
    ),
    "energy": Variable("energy of all windows of the point", "J", PER_COMPONENT),
    "duration": Variable("wall time of all windows of the point", "s"),
    "windows": Variable("number of windows"),
    "runs": Variable("how often the point ran in all windows"),
    "requests": Variable("requests of all windows"),
    "tokens_read": Variable("prompt tokens of all windows"),
    "tokens_written": Variable("generated tokens of all windows"),
    "padding": Variable("positions computed beside prompts and answers, of all windows"),
    "reason": text("why there is no number"),
}
# Of the lengths of prompts and answers: a count that so large a share does not exceed
QUANTILES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)
# dims: the cell's axes
LENGTHS = {
    "prompt_tokens": Variable("prompt tokens of a request", extra=("quantile",)),
    "new_tokens": Variable("generated tokens of a request", extra=("quantile",)),
    "requests": Variable("requests of one run, of all points"),
}
# dims: model, training, pruning, quantization, metric
QUALITY = {
    "status": RECORD_STATUS,
    "id": ID,
    "quality": Variable("value of the quality metric"),
    "stderr": Variable("standard error of the quality metric"),
    "signature": text(
        "how the metric was computed, as its library says it", "empty where a task says it all"
    ),
    "notes": text(
        "what was counted of prompts and answers, and the engine that answered if not transformers"
    ),
    "reason": text("why there is no number"),
    "accepted": ACCEPTED,
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
        comment="of a training all its epochs with their validation, shared ones too; not "
        "validating before the first step, nor what interruptions lost; NaN where read wrongly",
    ),
    "making_disturbed": text("what disturbed making them, or was read wrongly then"),
    "accepted": ACCEPTED,
}
# Jobs that use energy, in the order of the pipeline
KINDS = (
    "training",
    "trained",
    "pruned",
    "weights",
    "quality",
    "texts",
    "scores",
    "judgments",
    "energy",
)
# dims: kind
COST = {
    "jobs": Variable("number of jobs whose results are there, and of trainings that ended early"),
    "duration": Variable("wall time of these jobs", "s"),
    "energy": Variable(
        "energy of these jobs, all components",
        "J",
        comment="of measuring jobs the mean power of what was metered times their whole time; left "
        "out are fetching, judges of unknown energy, wrong readings; NaN where none is known",
    ),
}
