"""What is known of a study before a run: plan and pilot ask the same."""

from typing import NamedTuple

from joulegrid.planning import open_cells, taken
from joulegrid.planning.cells import Judged, judged
from joulegrid.planning.sizes import Models
from joulegrid.study import second_loop
from joulegrid.study.conclusions import Conclusion, conclusions
from joulegrid.study.grid import Cell
from joulegrid.study.infeasible import Infeasible
from joulegrid.study.only import Part
from joulegrid.study.shelf import Shelf, jobs_of, sent
from joulegrid.study.specs import Job, Specs


class Known(NamedTuple):
    """All of it.

    Parameters
    ----------
    shelf
        what is there.
    steps
        from the records to the report.
    unfit
        what is known not to fit: no job is sent for it.
    decided, most
        the cells that a run makes, and the most of the others that a selection may add.
    jobs
        of both, those that are sent.
    missing
        paths of those whose record is not there.
    taken
        what the others took.
    models
        their sizes.
    cells
        what is said of each of `decided` and `most`.
    """

    shelf: Shelf
    steps: dict[str, Conclusion]
    unfit: Infeasible
    decided: list[Cell]
    most: list[Cell]
    jobs: list[Job]
    missing: set[str]
    taken: taken.Taken
    models: Models
    cells: list[Judged]


def of_study(specs: Specs, artifacts: str, unfit: Infeasible, part: Part | None = None) -> Known:
    """What is known of a study.

    Parameters
    ----------
    artifacts
        where its weights lie.
    unfit
        what of it is known not to fit (`infeasible.of_study`).
    part
        in which the most is looked for that a selection may add.
    """
    study, every = specs.study, list(jobs_of(specs))
    shelf, steps = Shelf(artifacts, every), conclusions(study, sent(every, unfit), unfit)
    decided, waiting = open_cells.split(specs, shelf, steps, unfit)
    jobs = sent(jobs_of(specs, [*decided, *waiting]), unfit)
    missing = {job.path for job in shelf.missing(jobs)}
    found, models = taken.read(jobs, shelf, missing), Models(specs, shelf)
    both = study.of_cells([*decided, *waiting])
    cells = judged(both, found.runs, unfit, models.sizes, found.failed)
    if waiting:
        seconds = {each.cell: each.session.seconds for each in cells if each.session}
        waiting = second_loop.most(specs, shelf, unfit, part, seconds)
        jobs = sent(jobs_of(specs, [*decided, *waiting]), unfit)
        kept = {*decided, *waiting}
        cells = [each for each in cells if each.cell in kept]
    return Known(shelf, steps, unfit, decided, waiting, jobs, missing, found, models, cells)
