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

# dims: the cell's axes, session
ENERGY = {
    "status": _STATUS,
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
    "peak_memory": Variable(
        "peak resident memory of the process; of an engine with more, their sum", "byte"
    ),
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
    "quality": Variable("value of the quality metric"),
    "stderr": Variable("standard error of the quality metric"),
    "reason": _text("why there is no number"),
    "accepted": _ACCEPTED,
}
# dims: model, training, pruning, quantization
WEIGHTS = {
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
    "score": Variable("R = w phi + (1 - w) rho"),
    "score_ci95": Variable(
        "half width of the 95 % interval of R", comment="of energy over sessions; rho is as exact"
    ),
    "best_probability": Variable("probability to have the highest R of its place, over sessions"),
    "wins_from": Variable("least weight w with which it has the highest R of its place"),
    "wins_to": Variable("greatest weight w with which it has the highest R of its place"),
    "meets": Variable("1 if it meets what the study requires"),
    "paid_off_after": Variable(
        "generated tokens after which the energy of making the weights is saved",
        comment="infinite where nothing is saved",
    ),
    "rank": Variable("rank in its place, 1 is best; shared where sessions tell no difference"),
    "pareto": Variable("on the energy-quality Pareto front of its place"),
    "estimated_share": Variable("share of the energy that no counter measured"),
    "disturbed": Variable("share of the windows that count although the machine was disturbed"),
    "other_board": Variable("1 if some session ran on another board than its baseline"),
}
# dims: the cell's axes, zone
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
}
CARBON = {
    "emissions": Variable(
        "emissions of one run of the workload",
        "g",
        comment="CO2 equivalent; energy times PUE times yearly intensity",
    ),
    "emissions_ci95": Variable("half width of the 95 % interval of the emissions of one run", "g"),
    "emissions_per_token": Variable("emissions per generated token", "g"),
}
