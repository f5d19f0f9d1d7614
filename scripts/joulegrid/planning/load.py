"""What some jobs of a study come to: per machine, per kind of job, in total."""

from datetime import UTC, datetime
from typing import Any, NamedTuple

from joulegrid.planning import chains, disk, host, ranges, taken, takes, today, verdicts
from joulegrid.planning.bill import Grid
from joulegrid.planning.cells import Judged
from joulegrid.planning.counts import Jobs, States, by_kind, counted
from joulegrid.planning.known import Known
from joulegrid.planning.making import Effort, efforts
from joulegrid.planning.ranges import Range, times
from joulegrid.planning.takes import PER_HOUR, Machine, Rates, Takes
from joulegrid.records import ROOT
from joulegrid.study import sites
from joulegrid.study.grid import Cell
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


class Load(NamedTuple):
    """What some jobs come to, as far as a run makes them.

    Parameters
    ----------
    jobs
        by kind: how many there are, and what is there of them.
    shares
        of each hardware entry.
    efforts
        kind of job -> what making weights and evaluating quality take.
    total
        of sessions and of `efforts`.
    written, fetched
        bytes of weights that a run writes, and fetches from the hub.
    judges
        what they are asked; None where nobody is.
    """

    jobs: list[Jobs]
    shares: list[Share]
    efforts: dict[str, Effort]
    total: Takes
    written: disk.Bytes
    fetched: disk.Bytes
    judges: verdicts.Verdicts | None


class Facts(NamedTuple):
    """What all loads of a study are told: what is known of it, the site file, intensities and
    prices.
    """

    specs: Specs
    known: Known
    site: dict[str, Any] | None
    rates: Rates


def load(
    facts: Facts, jobs: list[Job], cells: list[Judged], states: States, beside: set[str]
) -> Load:
    """What some jobs come to.

    Parameters
    ----------
    cells
        those of their sessions.
    states
        paths of jobs that are missing, that a run makes of these, and that were accepted.
    beside
        paths of jobs that a run makes before these.
    """
    known, study, to_run = facts.known, facts.specs.study, states[1]
    shares = _shares(facts, jobs, cells, states)
    # jobs of other cells teach what these take, too, and make epochs that these go on with
    coming = known.missing - to_run - beside
    others = [job for job in known.jobs if job.path not in coming]
    made = efforts(facts.specs, others, to_run, known.taken.others, facts.site, known.models.sizes)
    running = [job for job in jobs if job.path in to_run]
    pue = max(entry.get("pue", 1.0) for entry in study.data["hardware"].values())
    chain = _chain(facts.specs, running, cells, made)
    return Load(
        by_kind(jobs, states),
        shares,
        made,
        takes.all_together([share.takes for share in shares], made, chain, pue, facts.rates),
        disk.written(study.data, running, known.models),
        disk.fetched(study.data, running, known.models),
        verdicts.of_jobs(study.data, running),
    )


def _chain(specs: Specs, running: list[Job], cells: list[Judged], made: dict[str, Effort]) -> Range:
    """Hours of the longest chain of jobs that wait for each other."""
    by_cell = {each.cell: each for each in cells}
    other = {path: hours for effort in made.values() for path, hours in effort.each.items()}
    hours = {path: each.median for path, each in other.items()}
    for job in running:
        if job.kind == "energy":
            each = by_cell[Cell(*job.labels[:-1])]
            known = each.session.seconds if each.session else _window_s(each).median
            hours[job.path] = known / PER_HOUR

    def of(job: Job) -> Range:
        if job.kind != "energy":
            return other.get(job.path, ranges.NOTHING)
        each = by_cell[Cell(*job.labels[:-1])]
        said = ranges.seconds([each.session]) if each.session else _window_s(each)
        return times(said, 1 / PER_HOUR)

    return chains.takes((job.kind, of(job)) for job in chains.longest(specs, running, hours))


def _window_s(each: Judged) -> Range:
    """How long a session takes whose time alone is known; nothing of others."""
    known = each.window if each.session is None and not each.doubtful else None
    return known or ranges.NOTHING


def _shares(facts: Facts, jobs: list[Job], cells: list[Judged], states: States) -> list[Share]:
    """What each hardware entry has to do."""
    sessions = [job for job in jobs if job.kind == "energy"]
    return [
        _share(
            _machine(facts.specs.study, label, facts.known.taken, facts.site),
            [each for each in cells if each.cell.hardware == label],
            [job for job in sessions if Cell(*job.labels[:-1]).hardware == label],
            states,
            facts.rates,
        )
        for label in _entries(facts.specs.study, cells)
    ]


def _entries(study: Study, cells: list[Judged]) -> list[str]:
    """The hardware entries that some cells are measured on, as the study orders them."""
    there = {each.cell.hardware for each in cells}
    return [label for label in study.labels("hardware") if label in there]


def rates_of(study: Study, at_a_time: int, site: dict[str, Any] | None) -> Rates:
    """What turns hours and kWh of a study into the rest."""
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
    fixed = [found for each in waiting if (found := _window_s(each)) != ranges.NOTHING]
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
