"""The second loop of a selection that is open: the most that it adds to a run. Plan and dry-run ask
the same.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from types import MappingProxyType

from joulegrid.study.grid import Cell
from joulegrid.study.only import Part, within
from joulegrid.study.selection import Trained
from joulegrid.study.shelf import Shelf, jobs_of, sent
from joulegrid.study.specs import Job, Specs


def most(
    specs: Specs,
    shelf: Shelf,
    unfit: Collection[tuple[str, ...]],
    part: Part | None = None,
    seconds: Mapping[Cell, float] = MappingProxyType({}),
) -> list[Cell]:
    """The cells of the second loop, or of those in a part, if those trained models go on for which
    a run makes most sessions; of as many sessions those with most jobs, then the longest ones.

    Parameters
    ----------
    unfit
        what is known not to fit: no job is sent for it.
    seconds
        how long a session of a cell takes, where that is predicted.
    """
    loops = specs.study.loops
    assert loops is not None, "the study selects"
    waiting = {each: within(part, cells) for each, cells in loops.second.items()}
    first = sent(jobs_of(specs, within(part, loops.first)), unfit)

    def size(each: Trained) -> tuple[int, int, float]:
        found = added(specs, shelf, unfit, waiting[each], first)
        cells = [Cell(*job.labels[:-1]) for job in found if job.kind == "energy"]
        return len(cells), len(found), sum(seconds.get(cell, 0.0) for cell in cells)

    return [cell for each in loops.most(size) for cell in waiting[each]]


def added(
    specs: Specs,
    shelf: Shelf,
    unfit: Collection[tuple[str, ...]],
    cells: Sequence[Cell],
    first: Iterable[Job],
) -> list[Job]:
    """The jobs that a run makes for cells of the second loop, beside those of the `first` one."""
    found = shelf.to_make(sent(jobs_of(specs, cells), unfit)) if cells else []
    own = {job.path for job in first}
    return [job for job in found if job.path not in own]
