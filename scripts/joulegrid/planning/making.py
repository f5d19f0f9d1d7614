"""What making weights and evaluating quality will take: by what such jobs took here where there are
records, before that by effort.py.

Of the jobs of one group (a kind and its method) the logarithm of measured over default seconds is
taken as normal: its prior is DEFAULT wide, every record says it with an error of EACH. Where there
is no default, records alone say how long a job takes per parameter of its model.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Set
from functools import cache
from types import MappingProxyType
from typing import Any, NamedTuple

from joulegrid.planning import effort
from joulegrid.planning.architecture import Architecture
from joulegrid.planning.bill import Work
from joulegrid.planning.effort import Sizes
from joulegrid.planning.places import Place, place_of
from joulegrid.planning.ranges import NOTHING, Range, product, spread, times, together
from joulegrid.planning.taken import Spent
from joulegrid.study.job import Job
from joulegrid.study.specs import Specs
from joulegrid.units import J_PER_KWH

# Standard deviations of logarithms: of the defaults (a factor of 3.2 at 80 %), of a job within its
# group, of the power of a board
DEFAULT, EACH, POWER = 0.9, 0.35, 0.3
PER_HOUR = 3600.0
NO_DEFAULT = ("energy", "judgments")  # sessions are predicted elsewhere

Group = tuple[str, str]  # kind and method; of quality kind and task, whose data differ


class Effort(NamedTuple):
    """What the jobs of a kind will take that a run would make.

    Parameters
    ----------
    predicted
        how many of them the ranges are of.
    hours, gpu_hours, gpu_kwh
        one after another; times their GPUs; energy of these.
    host_kwh
        energy of CPU and memory of those whose like was metered here; None where none was.
    longest_h
        of one job.
    rests_on
        on what.
    works
        each of them: medians.
    metered
        how many of them `host_kwh` is of.
    each
        path of each of them -> hours.
    """

    predicted: int
    hours: Range
    gpu_hours: Range
    gpu_kwh: Range
    host_kwh: Range | None
    longest_h: Range
    rests_on: str
    works: tuple[Work, ...] = ()
    metered: int = 0
    each: Mapping[str, Range] = MappingProxyType({})


class _Of(NamedTuple):
    """The jobs of one group: default seconds by path, those that are there with what they took."""

    waiting: dict[str, float]
    measured: list[tuple[float, Spent]]
    place: Place | None
    by_default: bool


def efforts(
    specs: Specs,
    jobs: Iterable[Job],
    to_run: set[str],
    taken: Mapping[str, Spent],
    site: dict[str, Any] | None,
    model_of: Callable[[str], Architecture | None],
) -> dict[str, Effort]:
    """Kind of job -> what it will take, of all kinds but sessions.

    Parameters
    ----------
    jobs
        those that are there or that a run makes, also those that are not asked for: what all of
        them took counts.
    to_run
        paths of those that are asked for.
    taken
        path of a job -> what it took, of those that are there.
    site
        the site file, None without one.
    model_of
        the sizes of a model by its label, None where they are not known.
    """
    jobs = list(jobs)
    known = _Known(specs, site, model_of, taken.keys() | {job.path for job in jobs})
    groups: dict[Group, _Of] = {}
    for job in jobs:
        if job.kind == "energy" or (job.path not in to_run and job.path not in taken):
            continue
        key = known.group(job)
        default = known.seconds(job)
        base = default if default is not None else known.parameters(job)
        if base is None:
            continue
        found = groups.setdefault(key, _Of({}, [], known.place(job.kind), default is not None))
        if job.path in to_run:
            found.waiting[job.path] = base
        else:
            found.measured.append((base, taken[job.path]))
    kinds: dict[str, list[Effort]] = {}
    for (kind, _), group in groups.items():
        if group.waiting and (group.by_default or group.measured):
            kinds.setdefault(kind, []).append(_effort(group))
    return {kind: _sum(parts) for kind, parts in kinds.items()}


def by_default(
    specs: Specs,
    jobs: Iterable[Job],
    site: dict[str, Any] | None,
    model_of: Callable[[str], Architecture | None],
) -> dict[str, float]:
    """Path of a job -> the seconds that it takes by default, of those that have a default;
    arguments as of `efforts`.
    """
    jobs = list(jobs)
    known = _Known(specs, site, model_of, {job.path for job in jobs})
    found = {job.path: known.seconds(job) for job in jobs if job.kind not in NO_DEFAULT}
    return {path: seconds for path, seconds in found.items() if seconds is not None}


class _Known:
    """What is known of the jobs of a study, each thing worked out once; `there` are the paths of
    those that a run makes or has.
    """

    def __init__(
        self,
        specs: Specs,
        site: dict[str, Any] | None,
        model_of: Callable[..., Any],
        there: Set[str],
    ) -> None:
        self._specs, self._data = specs, specs.study.data
        self._model_of, self._there = model_of, there
        self.place = cache(lambda kind: self._place(kind, site))

    def group(self, job: Job) -> Group:
        """The jobs that err together."""
        if job.kind in ("training", "trained"):
            return job.kind, self._data["training"][job.labels[1]]["method"]
        if job.kind == "pruned":
            return job.kind, self._data["pruning"][job.labels[2]]["method"]
        if job.kind == "weights":
            return job.kind, self._data["quantization"][job.labels[3]]["method"]
        return job.kind, "/".join(job.labels[4:])

    def parameters(self, job: Job) -> float | None:
        """Of the model, as a measure of work where there is no other; of what no model has a part
        in, 1.
        """
        if job.kind in ("scores", "judgments"):
            return 1.0
        model = None if job.kind == "models" else self._model_of(job.labels[0])
        return model.parameters if model else None

    def seconds(self, job: Job) -> float | None:
        """Of a job by default, None where there is no default."""
        if job.kind == "scores":
            return effort.scoring(self._data["quality"][job.labels[4]])
        place = self.place(job.kind)
        model = self._model_of(job.labels[0])
        if place is None or model is None:
            return None
        sizes, labels = Sizes(model, place), job.labels
        if job.kind == "training":
            entry, before = self._data["training"][labels[1]], self._specs.goes_on_with(job)
            if before is not None and before.path not in self._there:
                before = None
            shared = self._data["training"][before.labels[1]]["epochs"] if before else 0
            return effort.training(entry, entry["epochs"] - shared, sizes)
        if job.kind == "trained":
            return effort.merging(sizes)
        if job.kind == "pruned":
            return effort.pruning(self._data["pruning"][labels[2]], sizes)
        if job.kind == "weights":
            return effort.quantizing(self._data["quantization"][labels[3]], sizes)
        if job.kind in ("quality", "texts"):
            sizes = effort.evaluated_in(self._data["quantization"][labels[3]], sizes)
            known = effort.evaluating if job.kind == "quality" else effort.answering
            return known(self._data["quality"][labels[4]], sizes)
        return None

    def _place(self, kind: str, site: dict[str, Any] | None) -> Place | None:
        # on the login node; or where no board is known that metrics would use
        if kind in ("models", "judgments") or (kind == "scores" and site is None):
            return None
        return place_of(kind, site, self._data["hardware"])


def _effort(group: _Of) -> Effort:
    count = len(group.measured)
    logs = [math.log(spent.seconds / base) for base, spent in group.measured]
    weight = 1 / DEFAULT**2 if group.by_default else 0.0
    variance = 1 / (weight + count / EACH**2)
    factor = math.exp(variance * sum(logs) / EACH**2)
    waiting, base = len(group.waiting), sum(group.waiting.values())
    sigma = math.sqrt(variance + EACH**2 / waiting)
    hours = spread(factor * base / PER_HOUR, sigma)
    one = math.hypot(math.sqrt(variance), EACH)
    each = {path: spread(factor * s / PER_HOUR, one) for path, s in group.waiting.items()}
    longest = max(each.values(), key=lambda hours: hours.median)
    metered = [spent for _, spent in group.measured if spent.gpu_j is not None]
    rests_on = f"measured by {count} job{'s' if count > 1 else ''}" if count else "defaults"
    if not count and group.place:
        rests_on += f" on {group.place.name}"
    gpu_kwh, host_kwh = _gpu_kwh(hours, group, metered), _host_kwh(hours, metered)
    gpu_hours = times(hours, group.place.gpus if group.place else 0)
    kwh = gpu_kwh.median + (host_kwh.median if host_kwh else 0.0)
    works = tuple(Work(h.median, kwh * h.median / hours.median) for h in each.values())
    known = waiting if metered else 0
    taken = hours, gpu_hours, gpu_kwh, host_kwh, longest
    return Effort(waiting, *taken, rests_on, works, known, each)


def _gpu_kwh(hours: Range, group: _Of, metered: list[Spent]) -> Range:
    """By the power that such jobs took here, or a share of what the board may take."""
    watts = group.place.watts if group.place else 0.0
    if metered:
        seconds = sum(spent.seconds for spent in metered)
        watts = sum(spent.gpu_j or 0.0 for spent in metered) / seconds
    return _kwh(hours, watts)


def _host_kwh(hours: Range, metered: list[Spent]) -> Range | None:
    if not metered:
        return None
    seconds = sum(spent.seconds for spent in metered)
    return _kwh(hours, sum(spent.host_j or 0.0 for spent in metered) / seconds)


def _kwh(hours: Range, watts: float) -> Range:
    if not watts:
        return NOTHING
    return times(product(hours, spread(watts, POWER)), PER_HOUR / J_PER_KWH)


def _sum(parts: list[Effort]) -> Effort:
    hosts = [part.host_kwh for part in parts if part.host_kwh is not None]
    return Effort(
        sum(part.predicted for part in parts),
        together(part.hours for part in parts),
        together(part.gpu_hours for part in parts),
        together(part.gpu_kwh for part in parts),
        together(hosts) if hosts else None,
        max((part.longest_h for part in parts), key=lambda longest: longest.median),
        ", ".join(sorted({part.rests_on for part in parts})),
        tuple(work for part in parts for work in part.works),
        sum(part.metered for part in parts),
        {path: hours for part in parts for path, hours in part.each.items()},
    )
