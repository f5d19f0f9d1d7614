"""What jobs take together: hours, energy, CO2e, money."""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from joulegrid.planning import bill, host, ranges
from joulegrid.planning.bill import Grid, Work, added, added_by, emitted, money
from joulegrid.planning.host import Power
from joulegrid.planning.making import Effort
from joulegrid.planning.places import STAGES
from joulegrid.planning.ranges import NOTHING, Forecast, Range, times, together
from joulegrid.planning.today import Today
from joulegrid.study.sites import Prices
from joulegrid.units import J_PER_KWH

PER_HOUR = 3600.0
GramsOfZones = dict[str, Range]


class Takes(NamedTuple):
    """What jobs take, as 80 % ranges.

    Parameters
    ----------
    hours, gpu_hours, node_hours
        one after another; times their GPUs, and their nodes.
    longest_hours
        of the longest of them.
    wall_hours
        so many at a time as the plan was asked for.
    gpu_kwh, host_kwh
        energy of GPUs, and of CPU and memory; None where nothing is known of the latter.
    grams
        zone -> CO2e of both with the machine's PUE.
    best_yesterday, best_start
        zone with an hourly series -> the same, each job begun within a day when it was best a day
        before, and when it is best: a bound.
    money
        None without prices.
    """

    hours: Range
    gpu_hours: Range
    node_hours: Range
    longest_hours: Range
    wall_hours: Range
    gpu_kwh: Range
    host_kwh: Range | None
    grams: GramsOfZones
    best_yesterday: GramsOfZones
    best_start: GramsOfZones
    money: Range | None


class Rates(NamedTuple):
    """What turns hours and kWh of a study into the rest.

    Parameters
    ----------
    intensities
        zone -> g/kWh, of zones with one figure for the year.
    grid
        the zones with a series.
    at_a_time
        how many jobs run at once.
    today
        the hours to come where the cluster stands, where the site file says that.
    """

    intensities: dict[str, float]
    grid: Grid
    prices: Prices | None
    at_a_time: int
    today: Today | None = None


class Machine(NamedTuple):
    """A hardware entry, as far as it matters here: its label, GPUs and nodes of a session, PUE, and
    what its host draws.
    """

    label: str
    gpus: int
    nodes: int
    pue: float
    host: Power | None


def of_sessions(
    said: Sequence[Forecast], fixed: Sequence[Range], machine: Machine, rates: Rates
) -> Takes:
    """What sessions on a machine take.

    Parameters
    ----------
    said
        those that are predicted.
    fixed
        those whose time alone is known, s.
    """
    known = ranges.end_to_end(fixed) if fixed else NOTHING
    hours = times(together([ranges.seconds(said), known]), 1 / PER_HOUR)
    alone = [ranges.seconds([max(said, key=lambda each: each.seconds)])] if said else []
    longest = max([*alone, *fixed], key=lambda each: each.median, default=NOTHING)
    longest = times(longest, 1 / PER_HOUR)
    gpu_hours, node_hours = times(hours, machine.gpus), times(hours, machine.nodes)
    gpu_kwh = times(ranges.joules(said), 1 / J_PER_KWH)
    host_kwh = host.kwh(hours, machine.host)
    host_kw = machine.host.watts.median / 1000 if machine.host else 0.0
    jobs = [(each.seconds / PER_HOUR, each.joules / J_PER_KWH) for each in said]
    jobs += [(each.median / PER_HOUR, 0.0) for each in fixed]
    works = [Work(long, kwh + long * host_kw) for long, kwh in jobs]
    return Takes(
        hours,
        gpu_hours,
        node_hours,
        longest,
        bill.wall(hours, longest, rates.at_a_time),
        gpu_kwh,
        host_kwh,
        *_grams([gpu_kwh, host_kwh], machine.pue, works, rates),
        money(machine.label, gpu_hours, node_hours, rates.prices),
    )


def all_together(
    sessions: Sequence[Takes],
    made: Mapping[str, Effort],
    chain: Range,
    pue: float,
    rates: Rates,
) -> Takes:
    """Sessions of all machines and all other jobs.

    Parameters
    ----------
    made
        kind of job -> what its jobs take.
    chain
        hours of the longest chain of jobs that wait for each other.
    pue
        of where other jobs than sessions run.
    """
    parts = list(made.values())
    everything: list[Takes | Effort] = [*sessions, *parts]
    hours = together(each.hours for each in everything)
    used = [kwh for each in parts for kwh in (each.gpu_kwh, each.host_kwh)]
    beside = _grams(used, pue, [work for each in parts for work in each.works], rates)
    grams = [
        (each.grams, each.best_yesterday, each.best_start)
        for each in sessions
        if _known([each.gpu_kwh, each.host_kwh]) != NOTHING
    ]
    grams += [beside] if _known(used) != NOTHING else []
    paid = rates.prices.stage_hour if rates.prices else {}
    costs = [
        times(each.hours, paid[STAGES[kind]])
        for kind, each in made.items()
        if STAGES.get(kind) in paid
    ]
    return Takes(
        hours,
        together(each.gpu_hours for each in everything),
        together([*(each.node_hours for each in sessions), *(each.hours for each in parts)]),
        max(
            (*(each.longest_hours for each in sessions), *(each.longest_h for each in parts)),
            key=lambda each: each.median,
            default=NOTHING,
        ),
        bill.wall(hours, chain, rates.at_a_time),
        together(each.gpu_kwh for each in everything),
        added(each.host_kwh for each in everything),
        added_by(now for now, _, _ in grams),
        added_by(yesterday for _, yesterday, _ in grams),
        added_by(best for _, _, best in grams),
        added([*(each.money for each in sessions), *costs]),
    )


def _known(kwh: Iterable[Range | None]) -> Range:
    """Of some energies those that are known, together."""
    return together(each for each in kwh if each is not None)


def _grams(
    kwh: Iterable[Range | None], pue: float, works: Iterable[Work], rates: Rates
) -> tuple[GramsOfZones, GramsOfZones, GramsOfZones]:
    """CO2e of some energies: of all zones; and of those with a series at two better starts of each
    of the jobs.
    """
    known = _known(kwh)
    if known == NOTHING:  # of no energy that is known nothing is said, least of all that it is 0
        return {}, {}, {}
    works = list(works)
    starts = rates.grid.starts(works)
    today = rates.today.intensities(works) if rates.today else {}
    yearly = {z: times(known, pue * grams) for z, grams in (rates.intensities | today).items()}
    now, yesterday, best = (
        emitted(known, pue, starts, when) for when in ("now", "yesterday", "foresight")
    )
    return yearly | now, yesterday, best
