"""Run time and memory that jobs ask a scheduler for where the site file leaves them out. They are
part of no spec.

Both are asked for a whole hardware entry or stage, for its largest cell: the jobs of an array all
get what its first one asks for. They are generous, since a job that gets too little is lost:

- sessions: half an hour for starting, loading and idling, and on top of it for each point warming
  up and all windows that the protocol allows, each run taking twice as long as is predicted (of
  models with experts or Mamba four times): by the defaults, and where the last plan rests on
  sessions of the same entry, engine and kernel, by what it found these to take;
- making and evaluating weights: half an hour, and on top of it four times what is predicted, which
  nine of ten stay below if predictions err as they say; where it is not, the minutes per billion of
  parameters in `MINUTES`; up to a day, which many partitions allow;
- main memory: 8 GB, and on top of it a quarter more than the weights: of making in 16 bits, of
  merging a training in 32; metrics of answers load none.

Nothing here is imported that takes time: every start with a site asks it.
"""

import csv
from collections.abc import Callable, Collection, Iterable, Mapping
from itertools import compress
from math import ceil
from pathlib import Path
from types import MappingProxyType
from typing import Any

from joulegrid.planning import stages
from joulegrid.planning.architecture import Architecture
from joulegrid.planning.devices import ANY_CPU, Device, matching, processor
from joulegrid.planning.factors import priors
from joulegrid.planning.feasibility import format_of, untold
from joulegrid.planning.formats import of
from joulegrid.planning.groups import Group, group_of
from joulegrid.planning.memory import FLOAT32, weights_bytes
from joulegrid.planning.meter import (
    BATCHES,
    FEWEST_WARM_UP_RUNS,
    LONGER,
    WARM_UP_S,
    idle_s,
)
from joulegrid.planning.prediction import Machine, Workload, predict, whole_batches
from joulegrid.planning.sizes import by_label, prompts_of, tokens_of
from joulegrid.study.loadable import at_once
from joulegrid.study.methods import method_name
from joulegrid.study.points import points_of
from joulegrid.study.replays import duration_s
from joulegrid.study.sites import BESIDE_S
from joulegrid.study.study import Study

Asked = dict[str, int]  # runtime in minutes, mem_mb; what is not known is not in it

# Within twice the time of the defaults 97 % of published cells of dense models on current engines
# ran; with experts it takes four times (docs/planning.md)
SLOWER, SLOWER_EXPERTS = 2.0, 4.0
LOAD_BYTES_PER_S = 0.3e9  # of a file system that others use too
MAKING_SLOWER = 4.0  # of what is predicted within a factor of 3.4 at 80 %, see making.py
STEP = 5  # minutes that a run time is rounded up to
# Minutes per billion of parameters where nothing better is known; of training also per epoch
MINUTES = {
    "train_model": 60.0,
    "merge_training": 5.0,
    "prune_weights": 15.0,
    "quantize_weights": 15.0,
    "evaluate_quality": 30.0,
    "score_texts": 0.0,
}
MOST_MINUTES = 1440
HOST_BYTES, MORE, HALF_BYTES = 8e9, 1.25, 2.0
# Bytes of a parameter in main memory, of stages that load other than 16 bits
LOADED = {"merge_training": FLOAT32, "score_texts": 0.0}
MEGA = 1e6


def measuring(
    study: Study,
    hardware: str,
    otherwise: Mapping[str, int],
    infeasible: Collection[tuple[str, ...]] = (),
    learned: Mapping[Group, float] = MappingProxyType({}),
    model_of: Callable[[str], Architecture | None] | None = None,
) -> Asked:
    """What the sessions on a hardware entry ask for.

    Parameters
    ----------
    otherwise
        what a job gets that nothing is known of: no less is asked for where that is so of some.
    infeasible
        cells that are not sent.
    learned
        hardware entry, engine and kernel -> how many times as long as by default runs take there.
    model_of
        the sizes of a model by its label; left out: what can be known before it is fetched.
    """
    model_of = model_of or by_label(study.data)
    cells = {
        (cell.model, cell.quantization, cell.engine, cell.workload): cell
        for cell in study.cells
        if cell.hardware == hardware and cell not in infeasible and study.unsupported(cell) is None
    }
    seconds, memory = set[float | None](), set[float | None]()
    for (model, quantization, engine, workload), cell in cells.items():
        entries = [
            study.data[axis][label]
            for axis, label in (
                ("quantization", quantization),
                ("engine", engine),
                ("hardware", hardware),
                ("workload", workload),
            )
        ]
        sizes = model_of(model)
        asked = _points(study.data["workload"][workload], study.takes(cell), at_once(entries[1]))
        protocol = study.data["protocol"]
        seconds.add(_session_s(sizes, hardware, entries, asked, protocol, learned))
        memory.add(_host_bytes(sizes, entries))
    return _asked(seconds, memory, otherwise)


def learned_in(path: Path) -> dict[Group, float]:
    """What the last plan learned of measured sessions, in its calibration.tsv; nothing where there
    is none.
    """
    try:
        with open(path, encoding="utf-8", newline="") as stream:
            return {
                (row["hardware"], row["engine"], row["kernel"]): float(row["times_default"])
                for row in csv.DictReader(stream, delimiter="\t")
            }
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def making(
    study: Study,
    stage: str,
    otherwise: Mapping[str, int],
    site: dict[str, Any] | None = None,
    model_of: Callable[[str], Architecture | None] | None = None,
) -> Asked:
    """What the jobs of a stage such as quantize_weights ask for.

    Parameters
    ----------
    otherwise, model_of
        as in `measuring`.
    site
        the site file, which says where they run.
    """
    sizes = [*map(model_of or by_label(study.data), study.data["model"])]
    kept = LOADED.get(stage, HALF_BYTES)
    seconds, memory = set[float | None](), set[float | None]()
    for each in sizes:
        seconds.add(None if each is None else _making_s(study, stage, each, site))
        memory.add(None if each is None else HOST_BYTES + MORE * kept * each.parameters)
    return _asked(seconds, memory, otherwise)


def _making_s(study: Study, stage: str, model: Architecture, site: dict[str, Any] | None) -> float:
    """How long a job of a stage may take with a model, s."""
    predicted = stages.longest_s(study.data, stage, model, site)
    if predicted is not None:
        most = MAKING_SLOWER * predicted
    else:
        epochs = [entry.get("epochs", 1) for entry in study.data["training"].values()]
        times = max(epochs) if stage == "train_model" else 1
        most = 60 * MINUTES[stage] * times * model.parameters / 1e9
    return min(BESIDE_S + most, 60 * MOST_MINUTES)


def _asked(
    seconds: Iterable[float | None], memory: Iterable[float | None], otherwise: Mapping[str, int]
) -> Asked:
    found = {
        "runtime": [None if s is None else STEP * ceil(s / 60 / STEP) for s in seconds],
        "mem_mb": [None if m is None else 1000 * ceil(m / MEGA / 1000) for m in memory],
    }
    return {
        key: max(otherwise[key] if value is None else value for value in values)
        for key, values in found.items()
        if any(value is not None for value in values)
    }


def _session_s(
    model: Architecture | None,
    label: str,
    entries: list[dict[str, Any]],
    points: list[Workload],
    protocol: dict[str, Any],
    learned: Mapping[Group, float],
) -> float | None:
    """How long a session may take, s; None where it cannot be said.

    Parameters
    ----------
    label, entries
        of the hardware entry; those of quantization, engine, hardware and workload.
    points
        one run of each point.
    learned
        as in `measuring`.
    """
    quantization, engine, hardware, workload = entries
    window = duration_s(workload)
    if window is not None:
        return BESIDE_S + window
    boards = _boards(hardware)
    if model is None or not boards:
        return None
    slowest = min(boards, key=lambda board: board.bandwidth)
    form, name = format_of(quantization, engine, slowest), method_name("engine", engine)
    if form is None or untold(quantization, engine, slowest):
        return None
    group = group_of(label, engine, quantization, form)
    if slowest is ANY_CPU and group not in learned:
        return None
    machine = Machine(slowest, name, hardware.get("gpus", 1))
    factors = {key: prior.mean for key, prior in priors(name, "", form.kernel, slowest).items()}
    slower = SLOWER_EXPERTS if model.experts or model.state_bytes else SLOWER
    slower *= learned.get(group, 1.0)
    least, batches = protocol["min_seconds"], 1
    if workload["method"] == "steady":  # one batch is predicted
        least, batches = LONGER * least, BATCHES
    runs = [
        slower * batches * predict(work, model, form, machine, factors).seconds for work in points
    ]
    each = sum(_warming_up_s(run) + protocol["max_windows"] * (least + run) for run in runs)
    measured = each * (2 if protocol["phases"] else 1)
    idle = idle_s(protocol, machine.gpus if slowest.is_gpu else 0)
    return BESIDE_S + weights_bytes(model, form) / LOAD_BYTES_PER_S + idle + measured


def _warming_up_s(run: float) -> float:
    """The longest that runs of so many seconds warm up."""
    return max(WARM_UP_S + run, FEWEST_WARM_UP_RUNS * run)


def _boards(hardware: Mapping[str, Any]) -> list[Device]:
    """Those that a hardware entry may mean."""
    if hardware["device"] != "cuda":
        return [processor(hardware.get("cpu", ""))]
    return matching(hardware["gpu"], hardware.get("gpu_memory_gb")) if "gpu" in hardware else []


def _points(workload: dict[str, Any], taken: list[bool], most: int) -> list[Workload]:
    """One run of each point of a workload that an engine takes, so many requests at most at once;
    of requests that come again and again one batch.
    """
    if workload["method"] == "replay":
        return []  # its duration says how long it takes
    count, size = prompts_of(workload)
    again = workload["method"] == "steady"
    mean = tokens_of(size, bool(workload.get("chat")))
    found = []
    for concurrency, tokens_in, tokens_out in compress(points_of(workload), taken):
        read = mean if tokens_in is None else float(tokens_in)
        asked = min(most, concurrency or most)
        each = asked if again else count
        found.append(Workload(each, read, float(tokens_out), whole_batches(each, asked)))
    return found


def _host_bytes(model: Architecture | None, entries: list[dict[str, Any]]) -> float | None:
    """Main memory of a session: weights pass through it, and stay there on a CPU. `entries` as in
    `_session_s`.
    """
    quantization, engine, hardware, _ = entries
    if model is None:
        return None
    form = of(quantization, method_name("engine", engine), None)
    stored = HALF_BYTES * model.parameters
    loaded = stored if form is None else weights_bytes(model, form)
    there = max(stored, loaded) if hardware["device"] == "cuda" else stored + loaded
    return HOST_BYTES + MORE * there
