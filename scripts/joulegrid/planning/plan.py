"""The plan of a study: what is there, what a run would make, and what that takes per machine.

What a run would make is asked of the functions that the rules ask (`Shelf.to_make`), so that both
agree. What cannot be predicted is counted.
"""

from typing import Any, NamedTuple

from joulegrid.planning import disk, doubtful_making, first, infeasible, verdicts
from joulegrid.planning import known as knowing
from joulegrid.planning.calibration import Calibrated
from joulegrid.planning.cells import Judged, by_group
from joulegrid.planning.counts import Jobs, steps_of
from joulegrid.planning.groups import Group
from joulegrid.planning.load import Facts, Load, Share, load, rates_of
from joulegrid.planning.making import Effort
from joulegrid.planning.takes import Takes
from joulegrid.study.accept import taken_over
from joulegrid.study.grid import Cell
from joulegrid.study.only import Part, within
from joulegrid.study.shelf import jobs_of, sent
from joulegrid.study.specs import Specs


class Plan(NamedTuple):
    """All of it.

    Parameters
    ----------
    at_a_time
        how many jobs run at once.
    currency
        of money; empty without prices.
    efforts
        kind of job -> what making weights and evaluating quality take.
    total
        of sessions and of `efforts`.
    written, fetched
        bytes of weights that a run writes, and fetches from the hub.
    to_run
        the paths of records that a run would make.
    judges
        what they are asked; None where nobody is.
    calibrated
        what measured sessions have taught, also those of cells beside the part that was asked for.
    first
        which cells to measure first.
    open
        the most that a selection of trained models may add, which is not decided yet; None where
        nothing is open.
    waiting
        the cells of that.
    doubtful
        path of a job that makes weights -> why it is expected to run out of memory.
    part
        what was asked for, where all of it is of a part of the study; empty of a whole study.
    today
        what CO2e of jobs that begin now rests on; empty where the site file says nothing of it.
    """

    study: str
    at_a_time: int
    currency: str
    jobs: list[Jobs]
    shares: list[Share]
    cells: list[Judged]
    efforts: dict[str, Effort]
    total: Takes
    written: disk.Bytes
    fetched: disk.Bytes
    to_run: list[str]
    judges: verdicts.Verdicts | None
    calibrated: dict[Group, Calibrated]
    first: dict[Group, list[Cell]]
    doubtful: dict[str, str]
    open: Load | None = None
    waiting: frozenset[Cell] = frozenset()
    part: str = ""
    today: str = ""


def of_study(
    specs: Specs,
    artifacts: str,
    at_a_time: int = 1,
    site: dict[str, Any] | None = None,
    part: Part | None = None,
) -> Plan:
    """The plan of a study, or of a part of it. What is there of the whole study calibrates both.

    Parameters
    ----------
    artifacts
        where its weights lie.
    at_a_time
        how many jobs run at once.
    site
        the site file, None without one.
    part
        the cells that a run would make, None: all.
    """
    study, unfit = specs.study, infeasible.of_study(specs, site)
    known = knowing.of_study(specs, artifacts, unfit, part)
    shelf, decided, most = known.shelf, known.decided, known.most
    cells, both = known.cells, known.jobs
    if part is not None:
        decided, most = within(part, decided), within(part, most)
        cells = [each for each in cells if each.cell in part.cells]
        both = sent(jobs_of(specs, [*decided, *most]), unfit)
    jobs = sent(jobs_of(specs, decided), unfit) if most else both
    to_run = {job.path for job in shelf.to_make(jobs)}
    accepted = {done.job.path for done in taken_over(both, shelf)}
    rates = rates_of(study, at_a_time, site)
    facts, now = Facts(specs, known, site, rates), set(decided)
    of_now = [each for each in cells if each.cell in now]
    found = load(facts, jobs, of_now, (known.missing, to_run, accepted), set())
    opened = None
    if most:
        own = {job.path for job in jobs}
        later = [job for job in both if job.path not in own]
        waiting = [each for each in cells if each.cell not in now]
        added = {job.path for job in shelf.to_make(both)} - to_run
        opened = load(facts, later, waiting, (known.missing, added, accepted), to_run)
    running = [job for job in jobs if job.path in to_run]
    return Plan(
        study.name,
        at_a_time,
        rates.prices.currency if rates.prices else "",
        found.jobs + ([] if part else [steps_of(study, known.steps, known.missing)]),
        found.shares,
        cells,
        found.efforts,
        found.total,
        found.written,
        found.fetched,
        sorted(to_run),
        found.judges,
        by_group(known.cells),
        first.first_cells(specs, known, part),
        doubtful_making.of_jobs(study, running, site, known.models.sizes),
        opened,
        frozenset(most),
        part.words if part else "",
        rates.today.said if rates.today else "",
    )
