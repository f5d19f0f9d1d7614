"""The variables of the dataset, group by group, with what a reader must know of each: the one place
for attributes.

Units are spelled for UDUNITS. Every measured group has a `status` that says why a number is
missing.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

STATUS = ("ok", "oom", "unsupported", "missing", "excluded")
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


def _text(long_name: str, comment: str = "", extra: tuple[str, ...] = ()) -> Variable:
    return Variable(long_name, None, extra, comment=comment, dtype="O")


_STATUS = Variable("status of the record", None, flags=STATUS, dtype="i1")
_PER_COMPONENT = ("component",)
_ACCEPTED = _text(
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
        "pruning_method": _text("method of the pruning"),
        "target_sparsity": Variable(
            "share of zeros that the pruning aims at in the layers that it prunes",
            comment="0 where nothing, or whole parts, are cut out; what came of it is "
            "weights/sparsity",
        ),
    },
    "quantization": {
        "quantization_method": _text("method of the quantization"),
        "bits": Variable(
            "nominal bits of a weight of the quantized layers",
            comment="scales and zero points come on top; NaN of ready-made weights",
        ),
    },
    "hardware": {
        "hardware_cpu": _text("name of the CPU", "empty where the sessions of a label differ"),
        "hardware_gpu": _text("names of the GPUs", "empty where there is none or they differ"),
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
    "session": "number of the independent measurement of a cell",
    "component": "part of the machine",
    "metric": "quality metric, TASK.METRIC",
    "zone": "zone of the electricity grid",
    "kind": "kind of the jobs",
    "month": "month of the year",
    "hour": "hour of the day (UTC)",
    "job_hours": "length of the job in hours",
    "slack_hours": "by how many hours the start may be late",
    "start": "when the job starts",
    "row": "number of the published value",
}
_ID = _text("id of the record", "empty where there is none")

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
    "loading_energy": Variable("energy of loading the model", "J", _PER_COMPONENT),
    "loading_time": Variable("wall time of loading the model", "s"),
    "peak_memory": Variable("peak resident memory of the process", "byte"),
    "peak_gpu_memory": Variable("peak memory allocated on all GPUs", "byte"),
    "weights_size": Variable("memory of the loaded weights", "byte"),
    "basis": Variable(
        "how the energy of the component was obtained", None, _PER_COMPONENT, BASIS, dtype="i1"
    ),
    "kernel": _text("what the linear layers computed with, and how many of them"),
    "settings": _text("how else the engine computed: attention, cache, compilation, threads"),
    "cpu": _text("name of the CPU"),
    "gpu": _text("names of the GPUs"),
    "gpu_memory": Variable("memory of one GPU", "byte"),
    "gpu_uuid": _text("identity of the boards", "two boards of one model differ by some percent"),
    "host": _text("name of the machine"),
    "started": _text("when the session began (UTC)"),
    "warnings": _text("what the meter warned of"),
    "reason": _text("why there is no number"),
    "accepted": _ACCEPTED,
}
# dims: model, training, pruning, quantization, metric
QUALITY = {
    "status": _STATUS,
    "id": _ID,
    "quality": Variable("value of the quality metric"),
    "stderr": Variable("standard error of the quality metric"),
    "reason": _text("why there is no number"),
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
    "id": _text("id of the record of the weights that are loaded", "empty where there is none"),
    "parameters": Variable("weights of the model, after structured pruning"),
    "size": Variable("size of the weight files that are loaded", "byte"),
    "sparsity": Variable("share of zeros in the linear layers, where it was counted"),
    "making_time": Variable("wall time of pruning and quantizing", "s"),
    "making_energy": Variable("energy of pruning and quantizing", "J"),
    "accepted": _ACCEPTED,
}
# dims: the cell's axes
RANKING = {
    "energy_per_token": Variable("energy per generated token, mean over sessions", "J"),
    "energy_per_token_ci95": Variable(
        "half width of the 95 % interval of the energy per generated token, over sessions", "J"
    ),
    "efficiency": Variable("phi, share of energy saved against the baseline"),
    "efficiency_ci95": Variable("half width of the 95 % interval of phi, over sessions"),
    "saves_probability": Variable("probability that phi is above 0, over sessions"),
    "quality": Variable("rho, mean relative change of quality for the better against the baseline"),
    "quality_ci95": Variable(
        "half width of the 95 % interval of rho, over resamples of the samples of its metrics",
        comment="NaN where a metric has no samples",
    ),
    "energy_term": Variable(
        "what of energy enters R", comment="phi, or its min-max over the place; see `normalisation`"
    ),
    "quality_term": Variable(
        "what of quality enters R",
        comment="rho, or the mean of the metrics' min-max over the place",
    ),
    "score": Variable("R = w energy_term + (1 - w) quality_term"),
    "score_ci95": Variable(
        "half width of the 95 % interval of R",
        comment="of energy over sessions, against the baseline, and, where quality_ci95 is there, "
        "of quality over samples; the least and the greatest of a min-max are taken as exact",
    ),
    "best_probability": Variable(
        "probability to have the highest R of its place, over sessions and samples"
    ),
    "wins_from": Variable("least weight w with which it has the highest R of its place"),
    "wins_to": Variable("greatest weight w with which it has the highest R of its place"),
    "meets": Variable("1 if it meets what the study requires"),
    "paid_off_after": Variable(
        "generated tokens after which the energy of making the weights is saved",
        comment="infinite where nothing is saved",
    ),
    "rank": Variable(
        "rank in its place, 1 is best; shared where sessions and samples tell no difference"
    ),
    "pareto": Variable(
        "on the Pareto front of its place", comment="over the objectives that the attributes name"
    ),
    "estimated_share": Variable("share of the energy that no counter measured"),
    "disturbed": Variable("share of the windows that count although the machine was disturbed"),
    "other_board": Variable("1 if some session ran on another board than its baseline"),
}
# Jobs that use energy, in the order of the pipeline
KINDS = ("training", "pruned", "weights", "quality", "energy")
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
# dims: zone, and what each has
GRID = {
    "profile": Variable(
        "mean carbon intensity by month and hour (UTC)", "g kW-1 h-1", ("month", "hour")
    ),
    "start_intensity": Variable(
        "mean carbon intensity of a job that starts now, when foresight finds it best within the "
        "slack, or when it was best a day before",
        "g kW-1 h-1",
        ("job_hours", "slack_hours", "start"),
        comment="foresight is a bound: no forecast does better",
    ),
    "estimated_share": Variable("share of the values that the source itself estimated"),
    "begin_hour": Variable(
        "time of day at which a job was cleanest, hours after midnight",
        "h",
        ("month", "job_hours"),
        comment="on the clock of the group's attribute time_zone, the site's; UTC where that is "
        "empty; of a past series, no forecast",
    ),
    "begin_saved": Variable(
        "share of the emissions saved by always starting then instead of at any hour",
        extra=("month", "job_hours"),
    ),
}
# dims: see each; there only where zones or hours can be weighed against compressing
LEVERS = {
    "compress": Variable(
        "share of the emissions saved against the baseline of the place, in one zone",
        comment="of all components, dims of the cell",
    ),
    "compress_ci95": Variable("half width of its 95 % interval, over sessions"),
    "move": Variable(
        "share of the emissions saved by running in the zone `to` instead",
        extra=("zone", "to"),
        comment="of their intensities alone: same machine, same PUE; missing between direct and "
        "life-cycle figures",
    ),
    "shift": Variable(
        "share of the emissions saved by a start within the slack instead of now",
        extra=("zone", "job_hours", "slack_hours", "start"),
        comment="foresight is a bound; yesterday is the hour that was best a day before",
    ),
}
# dims: the cell's axes, zone
CARBON = {
    "emissions": Variable(
        "emissions of one run of the workload",
        "g",
        comment="CO2 equivalent; energy times PUE times yearly intensity",
    ),
    "emissions_ci95": Variable("half width of the 95 % interval of the emissions of one run", "g"),
    "emissions_per_token": Variable("emissions per generated token", "g"),
}
# dims: the cell's axes; what the study gives no number for is not there
FOOTPRINT = {
    "market_emissions": Variable(
        "market-based emissions of one run of the workload",
        "g",
        ("zone",),
        comment="energy times PUE times what contracts say of the electricity; the other "
        "emissions are location-based",
    ),
    "market_intensity": Variable("market-based carbon intensity", "g kW-1 h-1"),
    "market_source": _text("source of the market-based intensity"),
    "embodied": Variable(
        "embodied emissions of the machine during one run of the workload",
        "g",
        comment="an estimate; in no other variable but sci",
    ),
    "embodied_source": _text("source of the embodied emissions"),
    "water": Variable(
        "water of the data centre during one run of the workload",
        "L",
        comment="energy of the machine times litres per kWh; PUE is not in it",
    ),
    "water_source": _text("source of the litres per kWh"),
    "sci_per_thousand_requests": Variable(
        "software carbon intensity (ISO/IEC 21031) of 1,000 requests",
        "g",
        ("zone",),
        comment="operational, location-based, plus embodied",
    ),
    "sci_per_million_tokens": Variable(
        "software carbon intensity (ISO/IEC 21031) of a million generated tokens",
        "g",
        ("zone",),
        comment="operational, location-based, plus embodied",
    ),
}
