"""Jobs that wait for each other: the chain of them that takes longest, however many run at once."""

from collections.abc import Iterable, Mapping
from functools import cache

from joulegrid.planning import ranges
from joulegrid.planning.ranges import Range, together
from joulegrid.study.grid import Configuration
from joulegrid.study.specs import Job, Specs


def longest(specs: Specs, jobs: Iterable[Job], hours: Mapping[str, float]) -> list[Job]:
    """Those of some jobs, each waiting for the one before, that take longest one after another.

    Parameters
    ----------
    jobs
        those that a run makes; what is there is waited for by none.
    hours
        path of a job -> how long it takes; others count as nothing.
    """
    to_make = {job.path: job for job in jobs}

    @cache
    def before(path: str) -> tuple[float, str | None]:
        """How long the chain up to the end of a job takes, and the job before it."""
        waited = [job.path for job in _waited_for(specs, to_make[path]) if job.path in to_make]
        last = max(waited, key=lambda each: before(each)[0], default=None)
        return hours.get(path, 0.0) + (before(last)[0] if last else 0.0), last

    found, at = list[Job](), max(to_make, key=lambda path: before(path)[0], default=None)
    while at is not None:
        found.append(to_make[at])
        at = before(at)[1]
    return found[::-1]


def _waited_for(specs: Specs, job: Job) -> list[Job]:
    """What a job is made from, or goes on with, or is compared with."""
    found = [job.source]
    if job.kind == "training":
        found.append(specs.goes_on_with(job))
    elif job.kind in ("texts", "judgments"):
        configuration = Configuration(*job.labels[:4])
        beside = specs.guide if job.kind == "texts" else specs.opposed
        found.append(beside(configuration, job.labels[4]))
    return [each for each in found if each is not None]


def takes(chain: Iterable[tuple[str, Range]]) -> Range:
    """How long a chain takes: kinds of its jobs, and what each job takes. Those of one kind err
    together, kinds do not.
    """
    kinds: dict[str, list[Range]] = {}
    for kind, hours in chain:
        kinds.setdefault(kind, []).append(hours)
    return together(ranges.end_to_end(parts) for parts in kinds.values())
