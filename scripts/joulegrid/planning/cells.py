"""The cells of a study as cases, judged and predicted."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from types import MappingProxyType
from typing import Any

from joulegrid.planning.architecture import Architecture
from joulegrid.planning.asked import Asked, asked, case_of, least_asked
from joulegrid.planning.calibration import Calibrated, Measured, believed, calibrated
from joulegrid.planning.devices import ANY_CPU, matching, processor
from joulegrid.planning.feasibility import format_of, slower, untold, usable, why_not
from joulegrid.planning.groups import Group, group_of
from joulegrid.planning.infeasible import MASKS
from joulegrid.planning.limits import Limited, limits
from joulegrid.planning.posterior import Case
from joulegrid.planning.prediction import Machine
from joulegrid.planning.ranges import Forecast, Range, forecast
from joulegrid.planning.sessions import known_s, session
from joulegrid.planning.sizes import by_label, cut
from joulegrid.study.grid import Cell
from joulegrid.study.infeasible import Infeasible
from joulegrid.study.loadable import at_once
from joulegrid.study.methods import method_name
from joulegrid.study.study import Study

# Prunings behind which sizes are known; which channels and heads of blocks went is not
KNOWN_SIZES = MASKS | {"layers"}
NOT_SENT, NOT_EXPECTED = "it is not sent", "does not run"


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
        one run of the workload, of a sweep of its first point; None where nothing can be said of
        it, and `unknown` why.
    untold
        the same on a CPU of which no session is there: its time can only be told relative to that
        of others, and measuring it first tells it.
    points
        all points of it, in order; None in the place of one that the engine does not run.
    runs
        what one run of each point is expected to take, of those that run.
    session
        what one session is expected to take, of cells with a case.
    window
        how long a session takes by what its workload says alone, s; None where that is nothing.
    measured
        how many runs of it are there.
    group
        with which cells it errs alike; None without `case` and `untold`.
    """

    cell: Cell
    gpus: int
    unsupported: str = ""
    infeasible: str = ""
    doubtful: str = ""
    slower: tuple[str, ...] = ()
    case: Case | None = None
    untold: Case | None = None
    points: tuple[Case | None, ...] = ()
    runs: tuple[Forecast, ...] = ()
    session: Forecast | None = None
    unknown: str = ""
    window: Range | None = None
    measured: int = 0
    group: Group | None = None


def judged(
    study: Study,
    measured: Measured,
    infeasible: Infeasible = MappingProxyType({}),
    model_of: Callable[[str], Architecture | None] | None = None,
    failed: Iterable[Cell] = (),
) -> list[Judged]:
    """Every cell of a study; what was measured calibrates the cells of the same hardware entry,
    engine and kernel. What several cells share is worked out once.

    Parameters
    ----------
    infeasible
        those that are known not to fit, and why (`infeasible.of_study`).
    model_of
        the sizes of a model by its label; left out: what can be known before it is fetched.
    failed
        cells that ran out of GPU memory.
    """
    sizes_of = model_of or by_label(study.data)
    points_of = cache(lambda label: asked(study.data["workload"][label]))
    answers = _answers(measured)
    tried = [*((cell, True) for cell in measured), *((cell, False) for cell in failed)]
    allowed = limits(study, tried, sizes_of, points_of)
    found = [
        _judged(study, cell, sizes_of, points_of, answers, allowed)
        if cell not in infeasible
        else Judged(cell, _gpus(study, cell), infeasible=infeasible[cell], unknown=NOT_SENT)
        for cell in study.cells
    ]
    groups: dict[Group, list[Judged]] = {}
    for each in found:
        if each.group is not None:
            groups.setdefault(each.group, []).append(each)
    beliefs = {
        key: believed([(measured.get(each.cell, ()), each.points) for each in members])
        for key, members in groups.items()
    }

    @cache
    def session_of(
        group: Group, points: tuple[Case | None, ...], workload: str, known: bool
    ) -> Any:
        entry = study.data["workload"][workload] | ({"stop": "fixed"} if known else {})
        cases = [case for case in points if case is not None]
        runs = tuple(forecast(case, beliefs[group]) for case in cases)
        return runs, session(cases, runs, entry, study.data["protocol"])

    def told(each: Judged) -> Judged:
        each = replace(each, measured=len(measured.get(each.cell, ())))
        if each.group is None or each.case is None:
            return each
        group = each.group
        if each.case.machine.device == ANY_CPU and not beliefs[group].rows:
            unknown = "no session on this CPU is there to go by"
            return replace(each, case=None, untold=each.case, points=(), unknown=unknown)
        labels = each.cell.workload, (each.cell.model, each.cell.workload) in answers
        runs, said = session_of(group, each.points, *labels)
        return replace(each, runs=runs, session=said if each.gpus else _without_gpus(said))

    return [told(each) for each in found]


def _without_gpus(said: Forecast) -> Forecast:
    """On a CPU: its time; its energy is not the predictor's."""
    return replace(said, joules=0.0, moved=said.moved * [1.0, 0.0], noise=(said.noise[0], 0.0))


def _answers(measured: Measured) -> dict[tuple[str, str], float]:
    """Model and workload -> mean tokens of an answer, where one point was measured."""
    found: dict[tuple[str, str], list[float]] = {}
    for cell, runs in measured.items():
        for run in runs:
            if run.requests and not run.point:
                key = (cell.model, cell.workload)
                found.setdefault(key, []).append(run.tokens_written / run.requests)
    return {key: sum(values) / len(values) for key, values in found.items()}


def _judged(
    study: Study,
    cell: Cell,
    model_of: Callable[[str], Architecture | None],
    points_of: Callable[[str], list[Asked]],
    answers: Mapping[tuple[str, str], float],
    limit_of: Mapping[Limited, float],
) -> Judged:
    hardware, workload = (
        study.data["hardware"][cell.hardware],
        study.data["workload"][cell.workload],
    )
    gpus = _gpus(study, cell)
    reason = study.unsupported(cell)
    if reason is not None:
        return Judged(cell, gpus, unsupported=reason)
    found = Judged(cell, gpus, window=known_s(workload, study.data["protocol"], gpus))
    name = hardware.get("gpu", "")
    boards = matching(name, hardware.get("gpu_memory_gb")) if gpus and name else []
    if gpus and not boards:
        return replace(found, unknown=f"no board {name!r} in the table")
    model, pruning = model_of(cell.model), study.data["pruning"][cell.pruning]
    if model is None:
        return replace(found, unknown=f"the sizes of {cell.model} are not known here")
    model = cut(model, pruning)
    quantization = study.data["quantization"][cell.quantization]
    engine = study.data["engine"][cell.engine]
    points = points_of(cell.workload)
    # where a study does not say which board of a name, what fits the largest is not forbidden
    largest = max(boards, key=lambda board: board.memory, default=None)
    board, allowed = (boards[0] if boards else processor(hardware.get("cpu", ""))), at_once(engine)
    form, kind = format_of(quantization, engine, board), method_name("engine", engine)
    limit = limit_of.get((cell.hardware, kind, form.kernel if form else "", usable(engine)))
    tokens_in, under_way = least_asked(points, allowed)
    entries = quantization, engine, hardware, workload
    known = model if pruning["method"] in KNOWN_SIZES else None
    reason = why_not(known, *entries, largest, tokens_in, under_way, limit)
    found = replace(
        found, doubtful=reason or "", slower=tuple(slower(quantization, engine, board, under_way))
    )
    unknown = untold(quantization, engine, board)
    if form is None or reason or unknown:
        return replace(found, unknown=NOT_EXPECTED if form and reason else unknown or "")
    machine = Machine(board, kind, gpus or 1)
    length = answers.get((cell.model, cell.workload))
    if length is not None and len(points) == 1:
        points = [points[0]._replace(tokens_out=length)]
    cases = tuple(
        case_of(point, model, form, machine, allowed) if takes else None
        for point, takes in zip(points, study.takes(cell), strict=True)
    )
    group = group_of(cell.hardware, engine, quantization, form)
    return replace(found, case=next(filter(None, cases)), points=cases, group=group)


def _gpus(study: Study, cell: Cell) -> int:
    """How many GPUs a cell has."""
    hardware = study.data["hardware"][cell.hardware]
    return hardware.get("gpus", 1) if hardware["device"] == "cuda" else 0


def by_group(found: Sequence[Judged]) -> dict[Group, Calibrated]:
    """What sessions that are there have taught, where there are some."""
    groups: dict[Group, list[Judged]] = {}
    for each in found:
        if each.group is not None and each.session is not None and each.session.belief.rows:
            groups.setdefault(each.group, []).append(each)
    told = {}
    for key, members in groups.items():
        cases = dict.fromkeys(each.case for each in members if each.case is not None)
        assert members[0].session is not None
        told[key] = calibrated(members[0].session.belief, cases)
    return told
