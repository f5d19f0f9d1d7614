"""What sharing saves: jobs, and hours of those that are predicted, against every cell on its own.

A cell on its own would make its weights, run its sessions, and evaluate its quality. Here weights
and quality are made once per configuration, what configurations are made from once for all of
them, and results that are there already count for every study. Fetching models and ready-made
weights is not counted: the hub's cache shares these without joulegrid.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Set
from types import MappingProxyType
from typing import Any, NamedTuple

from joulegrid.planning import infeasible, making
from joulegrid.planning.cells import Judged
from joulegrid.planning.sizes import Models
from joulegrid.study import unused
from joulegrid.study.grid import Cell, Configuration
from joulegrid.study.shelf import Shelf, jobs_of, sent
from joulegrid.study.specs import Job, Specs
from joulegrid.study.study import Study

PER_HOUR = 3600.0
ALL = "all jobs"
QUALITY = ("quality", "texts", "scores", "judgments")
WEIGHTS = ("trained", "pruned", "weights")


class Saving(NamedTuple):
    """How much work is left by one kind of sharing.

    Parameters
    ----------
    what
        what is shared; `ALL` for everything together.
    unit
        what is counted: jobs, or epochs of fine-tuning.
    alone, shared
        how many without it and with it.
    hours
        what it saves of the jobs whose seconds are predicted, h; None where there are none.
    """

    what: str
    unit: str
    alone: int
    shared: int
    hours: float | None = None


def savings(
    specs: Specs,
    elsewhere: Set[str] = frozenset(),
    seconds: Mapping[str, float] = MappingProxyType({}),
    unfit: Set[tuple[str, ...]] = frozenset(),
) -> list[Saving]:
    """What each kind of sharing saves in a study, all of them together last; of one that selects
    trained models with the most cells that may go on.

    Parameters
    ----------
    elsewhere
        ids of results that another study has too, see `of_others`.
    seconds
        path of a job -> how long it is predicted to take, s, where it is predicted.
    unfit
        what is known not to fit: no job is sent for it.
    """
    study, loops = specs.study, specs.study.loops
    if loops is not None:
        study = study.of_cells(loops.cells(loops.most()))
    jobs = {job.path: job for job in sent(jobs_of(specs, study.cells), unfit) if _computes(job)}
    runs = Counter(
        cell.configuration
        for cell in study.cells
        if study.unsupported(cell) is None and cell not in unfit
    )
    # weights and quality of a configuration that no engine runs are made all the same, once
    cells = {each: max(runs[each], 1) for each in study.configurations}
    chains = [
        (count, [job.path for job in specs.made_from(each) if job.path in jobs])
        for each, count in cells.items()
    ]

    def times(kinds: Iterable[str], per_cell: bool) -> Counter[str]:
        """How often the jobs behind weights are done, once for every cell or configuration."""
        found: Counter[str] = Counter()
        for count, chain in chains:
            for path in chain:
                if jobs[path].kind in kinds:
                    found[path] += count if per_cell else 1
        return found

    once = Counter(dict.fromkeys(jobs, 1))
    evaluated = Counter(
        {
            path: cells[Configuration(*job.labels[:4])]
            for path, job in jobs.items()
            if job.kind in QUALITY
        }
    )
    made, making = times(WEIGHTS, True), times(WEIGHTS, False)
    tuned = times(("training",), True)
    left = Counter([path for path, job in jobs.items() if job.id not in elsewhere])
    rows = [
        ("weights, once for all machines, engines and workloads", made, making),
        ("weights that others are made from, once", making, _only(once, making)),
        ("fine-tuning, once for all that is made from it", tuned, _only(once, tuned)),
        ("quality, once per configuration", evaluated, _only(once, evaluated)),
        ("results that other studies have too", once if elsewhere else Counter(), left),
        (ALL, once + _more(made) + _more(tuned) + _more(evaluated), left),
    ]
    found = [
        Saving(what, "jobs", before.total(), after.total(), _hours(before - after, seconds))
        for what, before, after in rows
        if before
    ]
    return [*_epochs(specs, jobs), *found]


def _computes(job: Job) -> bool:
    """Whether a job does more than fetch what is made already."""
    return job.kind != "models" and not (job.kind == "weights" and job.source is None)


def _only(once: Counter[str], of: Counter[str]) -> Counter[str]:
    return Counter({path: once[path] for path in of})


def _more(times: Counter[str]) -> Counter[str]:
    """What is done beyond the first time."""
    return Counter({path: count - 1 for path, count in times.items()})


def _hours(saved: Counter[str], seconds: Mapping[str, float]) -> float | None:
    known = [count * seconds[path] for path, count in saved.items() if path in seconds]
    return sum(known) / PER_HOUR if known else None


def _epochs(specs: Specs, jobs: Mapping[str, Job]) -> list[Saving]:
    """Epochs that a longer training takes over from a shorter one of the study."""
    trainings = [job for job in jobs.values() if job.kind == "training"]
    alone = sum(_epochs_of(specs.study, job) for job in trainings)
    shorter = [specs.goes_on_with(job) for job in trainings]
    saved = [_epochs_of(specs.study, job) for job in shorter if job and job.path in jobs]
    what = "epochs that numbers of epochs have in common, once"
    return [Saving(what, "epochs", alone, alone - sum(saved))] if alone else []


def _epochs_of(study: Study, job: Job) -> int:
    return int(study.data["training"][job.labels[1]]["epochs"])


def of_study(
    specs: Specs, artifacts: str, cells: Iterable[Judged], site: dict[str, Any] | None = None
) -> list[Saving]:
    """What sharing saves in a study, with the hours of what is predicted: sessions, and weights and
    evaluations by default.

    Parameters
    ----------
    artifacts
        where its weights lie.
    cells
        what the plan says of each.
    site
        the site file, None without one.
    """
    every, unfit = list(jobs_of(specs)), infeasible.of_study(specs, site).keys()
    jobs = sent(every, unfit)
    shelf = Shelf(artifacts, every)
    missing = {job.path for job in shelf.missing(jobs)}
    there = {job.id for job in jobs if job.path not in missing}
    said = {each.cell: each.session.seconds for each in cells if each.session is not None}
    seconds = making.by_default(specs, jobs, site, Models(specs, shelf).sizes) | {
        job.path: said[cell]
        for job in jobs
        if job.kind == "energy" and (cell := Cell(*job.labels[:-1])) in said
    }
    return savings(specs, of_others(specs.study, there), seconds, unfit)


def of_others(study: Study, there: Set[str]) -> set[str]:
    """The ids among `there`, results that are there, that other studies in config/ have too."""
    if not there:
        return set()
    others = [each for each in unused.studies([])[0] if each.name != study.name]
    return {job.id for each in others for job in jobs_of(Specs(each))} & there


def lines(found: Iterable[Saving]) -> list[str]:
    """For people: what sharing leaves to do."""
    said = [
        f"    {each.what}: {each.shared:,} instead of {each.alone:,} {each.unit}"
        + (f", {each.hours:.3g} h" if each.hours else "")
        for each in found
        if each.shared < each.alone
    ]
    return ["sharing, against every cell on its own:", *said] if said else []
