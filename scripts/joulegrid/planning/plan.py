"""The plan of a study: what is there, what a run would make, and what that takes per machine.

What a run would make is asked of the functions that the rules ask (`Shelf.to_make`), so that both
agree. What cannot be predicted is counted.
"""

from datetime import UTC, datetime
from typing import Any, NamedTuple

from joulegrid.planning import (
    disk,
    doubtful_making,
    first,
    host,
    infeasible,
    taken,
    takes,
    today,
    verdicts,
)
from joulegrid.planning import known as knowing
from joulegrid.planning.bill import Grid
from joulegrid.planning.calibration import Calibrated
from joulegrid.planning.cells import Judged, by_group
from joulegrid.planning.counts import Jobs, States, by_kind, counted, steps_of
from joulegrid.planning.groups import Group
from joulegrid.planning.making import Effort, efforts
from joulegrid.planning.takes import Machine, Rates, Takes
from joulegrid.records import ROOT
from joulegrid.study import sites
from joulegrid.study.accept import taken_over
from joulegrid.study.grid import Cell
from joulegrid.study.only import Part, within
from joulegrid.study.shelf import jobs_of, sent
from joulegrid.study.specs import Job, Specs
from joulegrid.study.study import Study
from joulegrid.study.zones import resolve


class Share(NamedTuple):
    """What one hardware entry has to do.

    Parameters
    ----------
    cells, unsupported, infeasible
        cells, and of them those that no engine runs and those that are known not to fit: no job is
        sent for either.
    sessions, there, accepted, to_run, predicted, timed
        sessions; those that are done and of these those that were accepted; those that a run would
        make, of these those that the ranges are of, and those of which time alone is known.
    takes
        of both.
    rests_on, host_rests_on
        what the ranges rest on, and what the energy of CPU and memory.
    """

    hardware: str
    cells: int
    unsupported: int
    infeasible: int
    sessions: int
    there: int
    accepted: int
    to_run: int
    predicted: int
    timed: int
    takes: Takes
    rests_on: str
    host_rests_on: str


class Open(NamedTuple):
    """The most that a selection of trained models may add, which is not decided yet."""

    jobs: list[Jobs]
    shares: list[Share]
    cells: frozenset[Cell]


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
        None where nothing is.
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
    open: Open | None = None
    part: str = ""
    today: str = ""


class Facts(NamedTuple):
    """What all machines of a study are told: records, the site file, intensities and prices."""

    study: Study
    known: taken.Taken
    site: dict[str, Any] | None
    rates: Rates


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
    known = knowing.of_study(specs, artifacts, unfit)
    shelf, missing, decided, most = known.shelf, known.missing, known.decided, known.most
    cells, both = known.cells, known.jobs
    if part is not None:
        decided, most = within(part, decided), within(part, most)
        cells = [each for each in cells if each.cell in part.cells]
        both = sent(jobs_of(specs, [*decided, *most]), unfit)
    jobs = sent(jobs_of(specs, decided), unfit) if most else both
    to_run = {job.path for job in shelf.to_make(jobs)}
    accepted = {done.job.path for done in taken_over(both, shelf)}
    rates = _rates(study, at_a_time, site)
    facts, now = Facts(study, known.taken, site, rates), set(decided)
    of_now = [each for each in cells if each.cell in now]
    shares = _shares(facts, jobs, of_now, (missing, to_run, accepted))
    opened = None
    if most:
        own = {job.path for job in jobs}
        later = [job for job in both if job.path not in own]
        waiting = [each for each in cells if each.cell not in now]
        states = missing, {job.path for job in shelf.to_make(both)} - to_run, accepted
        opened = Open(
            by_kind(later, states), _shares(facts, later, waiting, states), frozenset(most)
        )
    made = efforts(specs, jobs, to_run, known.taken.others, site, known.models.sizes)
    running = [job for job in jobs if job.path in to_run]
    pue = max(entry.get("pue", 1.0) for entry in study.data["hardware"].values())
    return Plan(
        study.name,
        at_a_time,
        rates.prices.currency if rates.prices else "",
        by_kind(jobs, (missing, to_run, accepted))
        + ([] if part else [steps_of(study, known.steps, missing)]),
        shares,
        cells,
        made,
        takes.all_together([share.takes for share in shares], made, pue, rates),
        disk.written(study.data, running, known.models),
        disk.fetched(study.data, running, known.models),
        sorted(to_run),
        verdicts.of_jobs(study.data, running),
        by_group(known.cells),
        first.first_cells(specs, known, part),
        doubtful_making.of_jobs(study, running, site, known.models.sizes),
        opened,
        part.words if part else "",
        rates.today.said if rates.today else "",
    )


def _shares(facts: Facts, jobs: list[Job], cells: list[Judged], states: States) -> list[Share]:
    """What each hardware entry has to do."""
    sessions = [job for job in jobs if job.kind == "energy"]
    return [
        _share(
            _machine(facts.study, label, facts.known, facts.site),
            [each for each in cells if each.cell.hardware == label],
            [job for job in sessions if Cell(*job.labels[:-1]).hardware == label],
            states,
            facts.rates,
        )
        for label in _entries(facts.study, cells)
    ]


def _entries(study: Study, cells: list[Judged]) -> list[str]:
    """The hardware entries that some cells are measured on, as the study orders them."""
    there = {each.cell.hardware for each in cells}
    return [label for label in study.labels("hardware") if label in there]


def _rates(study: Study, at_a_time: int, site: dict[str, Any] | None) -> Rates:
    zones = resolve(study.zones, study.source)
    key = "intensity_g_per_kwh"
    yearly = {zone: each[key] for zone, each in zones.items() if key in each}
    hours = today.of_site(study, site, datetime.now(UTC))
    return Rates(yearly, Grid(zones, ROOT), sites.prices_of(site), at_a_time, hours)


def _machine(study: Study, label: str, known: taken.Taken, site: dict[str, Any] | None) -> Machine:
    entry = study.data["hardware"][label]
    resources = site["hardware"].get(label, {}) if site else {}
    return Machine(
        label,
        entry.get("gpus", 1) if entry["device"] == "cuda" else 0,
        resources.get("nodes", 1),
        entry.get("pue", 1.0),
        host.power(known.hosts.get(label, []), entry, host.part_of(label, entry, site)),
    )


def _share(
    machine: Machine,
    cells: list[Judged],
    sessions: list[Job],
    states: States,
    rates: Rates,
) -> Share:
    number = counted("energy", sessions, *states)
    by_cell = {each.cell: each for each in cells}
    waiting = [by_cell[Cell(*job.labels[:-1])] for job in sessions if job.path in states[1]]
    said = [each.session for each in waiting if each.session is not None]
    fixed = [
        each.window
        for each in waiting
        if each.window is not None and each.session is None and not each.doubtful
    ]
    rests_on = {
        f"{each.session.rests_on} on {each.case.machine.device.name}"
        for each in waiting
        if each.session is not None and each.case is not None
    }
    return Share(
        machine.label,
        len(cells),
        sum(bool(each.unsupported) for each in cells),
        sum(bool(each.infeasible) for each in cells),
        *number[1:],
        len(said),
        len(fixed),
        takes.of_sessions(said, fixed, machine, rates),
        ", ".join(sorted(rests_on)) or "–",
        machine.host.rests_on if machine.host else "–",
    )
