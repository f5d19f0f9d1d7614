"""How many jobs of each kind a study has, and how many of them a run would make."""

from collections.abc import Iterable
from typing import NamedTuple

from joulegrid.records import ROOT
from joulegrid.study.conclusions import Conclusion
from joulegrid.study.specs import KINDS, Job
from joulegrid.study.study import Study

States = tuple[set[str], set[str], set[str]]  # paths that are missing, to run, accepted


class Jobs(NamedTuple):
    """How many jobs of a kind there are, are done (of which accepted), and would be run; `steps`
    are those from the records to the report.
    """

    kind: str
    jobs: int
    there: int
    accepted: int
    to_run: int


def by_kind(jobs: list[Job], states: States) -> list[Jobs]:
    """It of each kind that there is."""
    kinds = {job.kind for job in jobs}
    return [counted(kind, jobs, *states) for kind in KINDS if kind in kinds]


def counted(
    kind: str, jobs: Iterable[Job], missing: set[str], to_run: set[str], accepted: set[str]
) -> Jobs:
    """It of the jobs of one kind, of which these paths are missing, to run, accepted."""
    paths = {job.path for job in jobs if job.kind == kind}
    done = paths - missing
    return Jobs(kind, len(paths), len(done), len(done & accepted), len(paths & to_run))


def steps_of(study: Study, steps: dict[str, Conclusion], missing: set[str]) -> Jobs:
    """It of the steps from the records to the report."""
    late = [
        name
        for name, step in steps.items()
        if missing or not (ROOT / "results/studies" / study.name / step.stamp).exists()
    ]
    return Jobs("steps", len(steps), len(steps) - len(late), 0, len(late))
