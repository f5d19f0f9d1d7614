"""What a run of a study will have to do, and what its selection of trained models leaves open."""

from joulegrid.analysis import selecting
from joulegrid.records import ROOT, identity
from joulegrid.study import selection
from joulegrid.study.conclusions import Conclusion
from joulegrid.study.grid import Cell
from joulegrid.study.infeasible import Infeasible
from joulegrid.study.selection import Trained
from joulegrid.study.shelf import RESULTS, Shelf, jobs_of, sent
from joulegrid.study.specs import Specs


def split(
    specs: Specs, shelf: Shelf, steps: dict[str, Conclusion], infeasible: Infeasible
) -> tuple[list[Cell], list[Cell]]:
    """The cells that are decided, and the others, some of which may come to them; for those that
    are `infeasible` no job is sent.
    """
    loops = specs.study.loops
    if loops is None:
        return specs.study.cells, []
    goes_on = _known(specs, shelf, steps["select"], infeasible)
    if goes_on is not None:
        return loops.cells(goes_on), []
    return loops.first, [cell for cells in loops.second.values() for cell in cells]


def _known(
    specs: Specs, shelf: Shelf, step: Conclusion, infeasible: Infeasible
) -> list[Trained] | None:
    """What goes on, as the rules find it; None while a record that decides it is not there."""
    loops = specs.study.loops
    assert loops is not None, "the study selects"
    ranking = step.spec["ranking"]
    if shelf.missing(sent(jobs_of(specs, loops.compared(ranking["baseline"])), infeasible)):
        return None
    folder = ROOT / RESULTS / "studies" / specs.study.name
    written = selection.read(folder / selection.FILE, identity(step.spec))
    if written is not None and (folder / step.stamp).exists():
        return written
    return selection.goes_on(selecting.select(specs, shelf, ranking, infeasible))
