"""The cells of a study as cases, and what one session takes beside the workload itself."""

import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from joulegrid.planning import pilot
from joulegrid.planning.architecture import Architecture, from_config, known
from joulegrid.planning.devices import matching
from joulegrid.planning.feasibility import format_of, slower, why_not
from joulegrid.planning.memory import weights_bytes
from joulegrid.planning.posterior import Belief, Case, Row, defaults, fit
from joulegrid.planning.prediction import Machine, Workload
from joulegrid.planning.ranges import Forecast, forecast
from joulegrid.records import ROOT
from joulegrid.study.architectures import config_of
from joulegrid.study.frozen import prompts_in
from joulegrid.study.grid import Cell
from joulegrid.study.loadable import at_once
from joulegrid.study.methods import method_name
from joulegrid.study.points import least, number_of
from joulegrid.study.study import Study

# Assumed where only a run can tell
BYTES_PER_TOKEN = 4.0  # of English prompts
TEMPLATE_TOKENS = 30.0  # of a chat template
WARM_UP_RUNS, WINDOWS, FEW_AND_MANY = 3, 5, (3, 12)
IDLE_PHASES = 3  # before loading, loaded, at the end
START_S, LOAD_BYTES_PER_S = 30.0, 1e9
PILOT, MOST_CASES = 3, 300  # cells to measure first, and those that they are chosen from
MOST_ROWS = 40  # that calibrate one group: more teach little and take time
AT_ONCE = ("batch", "lengths")  # workloads all of whose requests are there from the start


@dataclass(frozen=True)
class Judged:
    """What is known of a cell before it runs.

    Parameters
    ----------
    unsupported
        why no engine runs it: no job is sent; empty where one does.
    infeasible
        why it will not fit or not run on the board; its jobs are sent, and will find that.
    slower
        what will run slower than its format promises.
    case
        one run of the workload; None where nothing can be said of it, and `unknown` why.
    session
        what one session is expected to take, of cells with a case.
    """

    cell: Cell
    gpus: int
    unsupported: str = ""
    infeasible: str = ""
    slower: tuple[str, ...] = ()
    case: Case | None = None
    session: Forecast | None = None
    unknown: str = ""


class Run(NamedTuple):
    """A session that was measured, per run of its workload: s, J of the GPUs (None where they were
    not measured), tokens of all requests.
    """

    seconds: float
    joules: float | None
    tokens_read: float
    tokens_written: float


def judged(study: Study, measured: Mapping[Cell, Sequence[Run]]) -> list[Judged]:
    """Every cell of a study; what was measured calibrates the cells of the same hardware entry,
    engine and kernel. What several cells share is worked out once.
    """
    model_of = cache(lambda label: architecture_of(study.data["model"][label]))
    prompts_of = cache(lambda label: _prompts(study.data["workload"][label]))
    found = [_judged(study, cell, model_of, prompts_of) for cell in study.cells]
    groups: dict[tuple[str, str, str], list[tuple[Cell, Case]]] = {}
    for each in found:
        if each.case is not None:
            groups.setdefault(_group(each.cell, each.case), []).append((each.cell, each.case))
    beliefs = {key: _belief(members, measured) for key, members in groups.items()}
    session_of = cache(
        lambda group, case: session(case, beliefs[group], study.data["protocol"])
    )  # prunings and trainings leave a case as it is
    return [
        each
        if each.case is None
        else replace(each, session=session_of(_group(each.cell, each.case), each.case))
        for each in found
    ]


def _group(cell: Cell, case: Case) -> tuple[str, str, str]:
    return cell.hardware, case.machine.engine, case.form.kernel


def _belief(members: list[tuple[Cell, Case]], measured: Mapping[Cell, Sequence[Run]]) -> Belief:
    """The defaults, and what sessions of these cells say beyond them."""
    rows = [row_of(run, case) for cell, case in members for run in measured.get(cell, ())]
    step = math.ceil(len(rows) / MOST_ROWS) or 1
    case = members[0][1]
    return fit(rows[::step], defaults(case.machine, case.form.kernel))


def row_of(run: Run, case: Case) -> Row:
    """A measured session as a row of the fit: its own tokens in the place of the estimated ones."""
    work = replace(
        case.work,
        tokens_in=run.tokens_read / case.work.requests,
        tokens_out=run.tokens_written / case.work.requests,
    )
    return Row(case._replace(work=work), run.seconds, run.joules)


def _judged(study: Study, cell: Cell, model_of: Any, prompts_of: Any) -> Judged:
    hardware = study.data["hardware"][cell.hardware]
    gpus = hardware.get("gpus", 1) if hardware["device"] == "cuda" else 0
    reason = study.unsupported(cell)
    if reason is not None:
        return Judged(cell, gpus, unsupported=reason)
    if not gpus:
        return Judged(cell, gpus, unknown="CPUs are not in the table of boards")
    name = hardware.get("gpu", "")
    boards = matching(name, hardware.get("gpu_memory_gb")) if name else []
    workload = study.data["workload"][cell.workload]
    if not boards:
        return Judged(cell, gpus, unknown=f"no board {name!r} in the table")
    model = model_of(cell.model)
    if model is None:
        return Judged(cell, gpus, unknown=f"the sizes of {cell.model} are not known here")
    quantization = study.data["quantization"][cell.quantization]
    engine = study.data["engine"][cell.engine]
    prompts, tokens_in = prompts_of(cell.workload)
    # where a study does not say which board of a name, what fits the largest is not forbidden
    largest = max(boards, key=lambda board: board.memory)
    reason = why_not(model, quantization, engine, hardware, workload, largest, tokens_in)
    under_way = min(at_once(engine), prompts, least(workload.get("concurrency", prompts)))
    slow = tuple(slower(quantization, engine, boards[0], under_way))
    found = Judged(cell, gpus, infeasible=reason or "", slower=slow)
    form = format_of(quantization, engine, boards[0])
    if form is None:
        return replace(found, unknown="ready-made weights: only their files tell the format")
    if reason:
        return replace(found, unknown="does not run")
    if workload["method"] not in AT_ONCE or number_of(workload) > 1:
        what = "sweep" if workload["method"] in AT_ONCE else f"workload {workload['method']}"
        return replace(found, unknown=f"a {what} is not predicted")
    machine = Machine(boards[0], method_name("engine", engine), gpus)
    work = Workload(prompts, tokens_in, least(workload["new_tokens"]), under_way)
    return replace(found, case=Case(work, model, form, machine))


def session(case: Case, belief: Belief, protocol: dict[str, Any]) -> Forecast:
    """What one session takes: loading, idle phases, warming up, and windows of whole runs that last
    at least `min_seconds`. How many windows it takes, and how fast weights load, is not known
    either: both are further directions of the range.
    """
    run = forecast(case, belief)
    of_run = np.array([run.seconds, run.joules])
    device, gpus = case.machine.device, case.machine.gpus
    idle = np.array([1.0, gpus * device.loaded_idle_w])

    def whole(values: Any, windows: float = WINDOWS, slower: float = 1.0) -> Any:
        runs = WARM_UP_RUNS + windows * math.ceil(protocol["min_seconds"] / run.seconds)
        load_s = START_S + slower * weights_bytes(case.model, case.form) / LOAD_BYTES_PER_S
        return (load_s + IDLE_PHASES * protocol["idle_seconds"]) * idle + runs * values

    seconds, joules = whole(of_run)
    few, many = (min(count, protocol["max_windows"]) for count in FEW_AND_MANY)
    beside = [
        [whole(of_run, few), whole(of_run, slower=0.5)],
        [whole(of_run, many), whole(of_run, slower=3.0)],
    ]
    worked = whole(of_run) - whole(0 * of_run)
    return replace(
        run,
        seconds=float(seconds),
        joules=float(joules),
        moved=np.concatenate([whole(run.moved), np.array(beside)], axis=1),
        noise=(run.noise[0] * worked[0] / seconds, run.noise[1] * worked[1] / joules),
    )


def measured_first(found: Sequence[Judged]) -> dict[tuple[str, str, str], list[Cell]]:
    """Hardware entry, engine and kernel -> the few cells whose measurement narrows the plan most,
    where it rests on defaults and has more cells than these.
    """
    groups: dict[tuple[str, str, str], dict[Case, Judged]] = {}
    for each in found:
        if each.case is not None and each.session is not None and not each.session.belief.rows:
            groups.setdefault(_group(each.cell, each.case), {}).setdefault(each.case, each)
    chosen = {}
    for key, members in groups.items():
        cases = list(members)[:MOST_CASES]
        belief = defaults(cases[0].machine, cases[0].form.kernel)
        if len(cases) > PILOT:
            places = pilot.chosen(cases, belief, PILOT)
            chosen[key] = [members[cases[place]].cell for place in places]
    return chosen


def architecture_of(entry: dict[str, Any]) -> Architecture | None:
    """The sizes of a model of a study: by its config.json, where that is in its folder or in the
    hub's cache, or by the table of public models.
    """
    if "random" in entry:
        return from_config(config_of(entry["random"]))
    if "path" in entry:
        folder = ROOT / str(entry["path"])
    elif "hub" in entry:
        home = Path(os.environ.get("HF_HOME", "~/.cache/huggingface")).expanduser()
        name = "models--" + str(entry["hub"]).replace("/", "--")
        folder = home / "hub" / name / "snapshots" / str(entry["revision"])
    else:
        return None
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):  # the folder itself is named where it is resolved
        return known(str(entry["hub"])) if "hub" in entry else None
    return from_config(config) if isinstance(config, dict) else None


def _prompts(workload: dict[str, Any]) -> tuple[int, float]:
    """How many prompts a workload has, and their mean tokens: as it says, or by their bytes."""
    if "prompt_tokens" in workload:
        return workload["count"], float(least(workload["prompt_tokens"]))
    if "prompts" not in workload:
        return 1, 0.0  # those of a trace
    found = prompts_in(workload["prompts"])
    mean = sum(len(prompt.encode()) for prompt in found) / len(found) / BYTES_PER_TOKEN
    chat = TEMPLATE_TOKENS if workload["chat"] else 0.0
    return workload.get("count", len(found)), mean + chat
