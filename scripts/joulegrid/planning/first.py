"""Which cells of a study to measure first: the plan names them, a pilot runs them."""

from collections.abc import Container, Iterable, Sequence
from itertools import chain, islice, zip_longest

from joulegrid.planning import known as knowing
from joulegrid.planning import pilot
from joulegrid.planning.architecture import Architecture
from joulegrid.planning.cells import Judged
from joulegrid.planning.groups import Group
from joulegrid.planning.known import Known
from joulegrid.planning.posterior import Case, defaults
from joulegrid.study.grid import Cell
from joulegrid.study.infeasible import Infeasible
from joulegrid.study.only import Part, within
from joulegrid.study.specs import Job, Specs

PILOT, MOST_CASES = 5, 300  # cells of a group to measure, and those that they are chosen from


def first_sessions(
    specs: Specs, artifacts: str, infeasible: Infeasible, part: Part | None = None
) -> list[Job]:
    """The first session of every cell that a plan of the study, or of a part of it, names."""
    found = first_cells(specs, knowing.of_study(specs, artifacts, infeasible, part), part)
    return [specs.energy(cell, 1) for cells in found.values() for cell in cells]


def first_cells(specs: Specs, known: Known, part: Part | None = None) -> dict[Group, list[Cell]]:
    """Hardware entry, engine and kernel -> cells of a study, or of a part of it, to measure first.

    None of them waits for a selection that is open: its weights may never be needed.
    """
    decided = within(part, known.decided)
    waiting = {cell for cell in decided if specs.energy(cell, 1).path in known.missing}
    return measured_first(known.cells, waiting)


def measured_first(found: Sequence[Judged], waiting: Container[Cell]) -> dict[Group, list[Cell]]:
    """Hardware entry, engine and kernel -> the few cells whose measurement narrows the plan most,
    where fewer than `PILOT` were measured: as many as are left to so many.

    Parameters
    ----------
    waiting
        those that may be measured.
    """
    groups: dict[Group, dict[Case, Judged]] = {}
    for each in found:
        case = each.case or each.untold
        if case is None or each.group is None or not (each.measured or each.cell in waiting):
            continue
        members = groups.setdefault(each.group, {})
        if each.measured or case not in members:
            members[case] = each
    chosen = {}
    for key, members in groups.items():
        done = [case for case, each in members.items() if each.measured][:PILOT]
        left = few(case for case, each in members.items() if not each.measured)
        if left and len(done) < PILOT:
            belief = defaults(left[0].machine, left[0].form.kernel)
            places = pilot.chosen([*done, *left], belief, PILOT - len(done), len(done))
            chosen[key] = [members[left[place - len(done)]].cell for place in places]
    return chosen


def few(cases: Iterable[Case]) -> list[Case]:
    """Of many cases `MOST_CASES`: of every model as many as of the others, with what each is asked
    taken in turn.
    """
    by_model: dict[Architecture, list[Case]] = {}
    for case in cases:
        by_model.setdefault(case.model, []).append(case)
    every = list(by_model.values())
    if sum(map(len, every)) > MOST_CASES:
        every = [own[at % len(own) :] + own[: at % len(own)] for at, own in enumerate(every)]
    rounds = chain.from_iterable(zip_longest(*every))
    return list(islice((case for case in rounds if case is not None), MOST_CASES))
