"""The cells of a study as cases, and what one session takes beside the workload itself."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from joulegrid.planning import pilot
from joulegrid.planning.devices import matching
from joulegrid.planning.feasibility import format_of, slower, why_not
from joulegrid.planning.memory import weights_bytes
from joulegrid.planning.posterior import Belief, Case, Row, defaults, fit
from joulegrid.planning.prediction import Machine, Workload
from joulegrid.planning.ranges import Forecast, forecast
from joulegrid.planning.sizes import BYTES_PER_TOKEN, TEMPLATE_TOKENS, architecture_of
from joulegrid.study.frozen import prompts_in
from joulegrid.study.grid import Cell
from joulegrid.study.job import Job
from joulegrid.study.loadable import at_once
from joulegrid.study.methods import method_name
from joulegrid.study.points import least, number_of
from joulegrid.study.specs import Specs
from joulegrid.study.study import Study

# Assumed where only a run can tell
WARM_UP_RUNS, WINDOWS, FEW_AND_MANY = 3, 5, (3, 12)
IDLE_PHASES = 3  # before loading, loaded, at the end
START_S, LOAD_BYTES_PER_S = 30.0, 1e9
PILOT, MOST_CASES = 3, 300  # cells to measure first, and those that they are chosen from
MOST_ROWS = 40  # that calibrate one group: more teach little and take time


@dataclass(frozen=True)
class Judged:
    """What is known of a cell before it runs.

    Parameters
    ----------
    unsupported
        why no engine runs it: no job is sent; empty where one does.
    infeasible
        why it is known not to fit the board: no job is sent either.
    doubtful
        why it is expected not to fit or not to run; its jobs are sent, and will find that.
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
    doubtful: str = ""
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


def judged(
    study: Study,
    measured: Mapping[Cell, Sequence[Run]],
    infeasible: Mapping[Cell, str] = MappingProxyType({}),
) -> list[Judged]:
    """Every cell of a study; what was measured calibrates the cells of the same hardware entry,
    engine and kernel. What several cells share is worked out once. `infeasible` are those that are
    known not to fit, and why (`infeasible.of_study`).
    """
    model_of = cache(lambda label: architecture_of(study.data["model"][label]))
    prompts_of = cache(lambda label: _prompts(study.data["workload"][label]))
    found = [
        _judged(study, cell, model_of, prompts_of)
        if cell not in infeasible
        else Judged(cell, _gpus(study, cell), infeasible=infeasible[cell])
        for cell in study.cells
    ]
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
    gpus = _gpus(study, cell)
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
    if workload["method"] != "batch" or number_of(workload) > 1:
        what = "sweep" if workload["method"] == "batch" else f"workload {workload['method']}"
        return Judged(cell, gpus, unknown=f"a {what} is not predicted")
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
    found = Judged(cell, gpus, doubtful=reason or "", slower=slow)
    form = format_of(quantization, engine, boards[0])
    if form is None:
        return replace(found, unknown="ready-made weights: only their files tell the format")
    if reason:
        return replace(found, unknown="does not run")
    machine = Machine(boards[0], method_name("engine", engine), gpus)
    work = Workload(prompts, tokens_in, least(workload["new_tokens"]), under_way)
    return replace(found, case=Case(work, model, form, machine))


def _gpus(study: Study, cell: Cell) -> int:
    """How many GPUs a cell has."""
    hardware = study.data["hardware"][cell.hardware]
    return hardware.get("gpus", 1) if hardware["device"] == "cuda" else 0


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


def first_sessions(specs: Specs, infeasible: Mapping[Cell, str]) -> list[Job]:
    """The first session of every cell that is to be measured first, of those too that were: who
    asks again gets the same.
    """
    found = judged(specs.study, {}, infeasible)
    return [specs.energy(cell, 1) for cells in measured_first(found).values() for cell in cells]


def measured_first(found: Sequence[Judged]) -> dict[tuple[str, str, str], list[Cell]]:
    """Hardware entry, engine and kernel -> the few cells whose measurement narrows the plan most,
    where it rests on defaults.
    """
    groups: dict[tuple[str, str, str], dict[Case, Judged]] = {}
    for each in found:
        if each.case is not None and each.session is not None and not each.session.belief.rows:
            groups.setdefault(_group(each.cell, each.case), {}).setdefault(each.case, each)
    chosen = {}
    for key, members in groups.items():
        cases = list(members)[:MOST_CASES]
        belief = defaults(cases[0].machine, cases[0].form.kernel)
        places = pilot.chosen(cases, belief, PILOT)
        chosen[key] = [members[cases[place]].cell for place in places]
    return chosen


def _prompts(workload: dict[str, Any]) -> tuple[int, float]:
    """How many prompts a workload has, and their mean tokens, by their bytes."""
    found = prompts_in(workload["prompts"])
    mean = sum(len(prompt.encode()) for prompt in found) / len(found) / BYTES_PER_TOKEN
    chat = TEMPLATE_TOKENS if workload["chat"] else 0.0
    return workload.get("count", len(found)), mean + chat
