"""Which results are there. A record that lies under its id is right; one that does not has to be
made.

Results are looked for under the labels of the study first, then under any others: a renamed label,
or another study that calls the same thing differently, costs nothing.
"""

import os
import re
from collections.abc import Collection, Iterable, Iterator
from functools import cached_property
from pathlib import Path

from joulegrid.jobs.weights import is_whole
from joulegrid.records import ROOT
from joulegrid.study import guides, judges
from joulegrid.study.grid import Cell, Configuration
from joulegrid.study.infeasible import is_kept_back
from joulegrid.study.methods import ARENA, GENERATION, tasks_of
from joulegrid.study.specs import Job, Specs
from joulegrid.study.study import Study

RESULTS = "results"
# What tells that a folder of weights is complete: a model's is made of links, the others have a
# list
MARKERS = {
    "models": "config.json",
    "training": "made.json",
    "trained": "made.json",
    "pruned": "made.json",
    "weights": "made.json",
}
ID = re.compile(r"[0-9a-f]{16}")


def place_of(job: Job) -> str:
    """The path of the record of a job under its own labels."""
    return f"{ROOT}/{RESULTS}/{job.path}.json"


def sent(jobs: Iterable[Job], infeasible: Collection[tuple[str, ...]]) -> list[Job]:
    """`jobs` without the sessions of cells that are known not to fit, and without weights that
    cannot be made and all behind these, as far as they were not tried: a record that is there
    stays.
    """
    if not infeasible:
        return list(jobs)
    return [
        job
        for job in jobs
        if not is_kept_back(infeasible, job.labels) or os.path.exists(place_of(job))
    ]


def jobs_of(specs: Specs, cells: Iterable[Cell] | None = None) -> Iterator[Job]:
    """Every job of a study that leaves a record, or of some of its cells and of the answers that
    theirs are judged against or hold as a guide's; those of cells that no engine runs are left out.
    """
    study = specs.study if cells is None else specs.study.of_cells(cells)
    sessions = study.data["protocol"]["sessions"]
    seen: dict[str, Job] = {}
    beside = _beside(study)
    for configuration in [*study.configurations, *(each for each, _ in beside)]:
        seen |= {job.path: job for job in specs.made_from(configuration)}
    yield from seen.values()
    runnable = [cell for cell in study.cells if study.unsupported(cell) is None]
    for session in range(1, sessions + 1):
        for cell in runnable:
            yield specs.energy(cell, session)
    for configuration in study.configurations:
        for task, entry in study.data["quality"].items():
            if entry["method"] == ARENA:
                if not judges.is_baseline(entry, configuration):
                    yield specs.judgments(configuration, task)
                continue
            if entry["method"] != GENERATION:
                yield specs.quality(configuration, task)
                continue
            yield specs.texts(configuration, task)
            for metric in entry["metrics"]:
                yield specs.scores(configuration, task, metric)
    for configuration, task in beside:
        yield specs.texts(configuration, task)


def _beside(study: Study) -> list[tuple[Configuration, str]]:
    """Configurations that are not those of the study's cells, but whose answers these are judged
    against or have in their prompts, and the task that they answer; those that answers are judged
    against have no guide.
    """
    own = set(study.configurations)
    opposed = [
        (judges.opponent(entry, configuration), judges.against(entry))
        for entry in tasks_of(ARENA, study.data).values()
        for configuration in study.configurations
    ]
    guiding = [
        guides.of(entry, configuration)
        for entry in tasks_of(GENERATION, study.data).values()
        for configuration in study.configurations
    ]
    found = [*opposed, *(each for each in guiding if each is not None)]
    return list(dict.fromkeys(each for each in found if each[0] not in own))


class Shelf:
    """The records below results/ and the weights below the artifacts.

    Parameters
    ----------
    artifacts
        the folder of weights, relative to the repository or absolute.
    own
        the jobs of a study: what lies under the labels of one of them is not taken for another, so
        that entries which differ in their labels alone are each measured.
    """

    def __init__(self, artifacts: str = RESULTS, own: Iterable[Job] = ()):
        self.artifacts = artifacts
        self._own = {job.path for job in own}
        self._taken: dict[str, str] = {}
        self._whole: dict[str, bool] = {}

    def record(self, job: Job) -> str | None:
        """The path of a job's record, relative to the repository; None where it is not there."""
        return self._find(job, RESULTS, ".json", self._records)

    def records_called(self, kind: str, name: str) -> list[str]:
        """The paths of all records of a kind with this id, whatever their labels."""
        places = self._indexed(kind, RESULTS, ".json", self._records).get(name, [])
        return [f"{RESULTS}/{kind}/{place}.json" for place in places]

    def weights(self, job: Job) -> str:
        """The file that tells that the weights of a job are complete; where it will be if it is not
        there.
        """
        marker = f"/{MARKERS[job.kind]}"
        found = self._find(job, self.artifacts, marker, self._folders)
        return found or f"{self.artifacts}/{job.path}{marker}"

    def is_whole(self, marker: str) -> bool:
        """Whether all that the folder of weights around a marker shall hold is there: a scratch may
        have been purged in part.
        """
        if marker not in self._whole:
            path = ROOT / marker
            self._whole[marker] = path.exists() and is_whole(path.parent)
        return self._whole[marker]

    def missing(self, jobs: Iterable[Job]) -> list[Job]:
        """The jobs whose record is not there."""
        return [job for job in jobs if self.record(job) is None]

    def to_make(self, jobs: Iterable[Job]) -> list[Job]:
        """What a run would make: the jobs whose record is not there, and weights that they need and
        that are gone.
        """
        found = {job.path: job for job in self.missing(jobs)}
        todo = list(found.values())
        while todo:
            source = todo.pop().source
            if (
                source is not None
                and source.kind in MARKERS
                and source.path not in found
                and not self.is_whole(self.weights(source))
            ):
                found[source.path] = source
                todo.append(source)
        return list(found.values())

    def forget(self) -> None:
        """Look again for all that was looked for: jobs have run meanwhile."""
        self._whole.clear()
        self._records.clear()
        self._folders.clear()

    def _find(
        self, job: Job, root: str, suffix: str, index: dict[str, dict[str, list[str]]]
    ) -> str | None:
        path = f"{root}/{job.path}{suffix}"
        if self._is_there(path):
            return path
        for place in self._indexed(job.kind, root, suffix, index).get(job.id, ()):
            other = f"{job.kind}/{place}"
            free = (
                other not in self._own
                and self._taken.setdefault(other + suffix, job.path) == job.path
            )
            path = f"{root}/{other}{suffix}"
            if free and self._is_there(path):
                return path
        return None

    def _is_there(self, path: str) -> bool:
        if os.path.basename(path) in MARKERS.values():
            return self.is_whole(path)
        return os.path.exists(os.path.join(ROOT, path))  # a third of the time of pathlib's

    def _indexed(
        self, kind: str, root: str, suffix: str, index: dict[str, dict[str, list[str]]]
    ) -> dict[str, list[str]]:
        if kind not in index:
            index[kind] = _by_id(ROOT / root / kind, suffix)
        return index[kind]

    @cached_property
    def _records(self) -> dict[str, dict[str, list[str]]]:
        return {}

    @cached_property
    def _folders(self) -> dict[str, dict[str, list[str]]]:
        return {}


def _by_id(folder: Path, suffix: str) -> dict[str, list[str]]:
    """Id -> paths below `folder`, without suffix, of all records (or folders of weights) there."""
    found: dict[str, list[str]] = {}
    for path in sorted(results_below(folder, directories=suffix != ".json")):
        found.setdefault(path.name.removesuffix(".json"), []).append(
            str(path.relative_to(folder)).removesuffix(".json")
        )
    return found


def results_below(folder: Path, directories: bool) -> Iterator[Path]:
    """Everything below `folder` that is named by an id: files `ID.json`, or folders `ID`, which are
    not entered.
    """
    try:
        entries = list(os.scandir(folder))
    except OSError:
        return
    for entry in entries:
        if entry.is_dir():
            if not ID.fullmatch(entry.name):
                yield from results_below(Path(entry.path), directories)
            elif directories:
                yield Path(entry.path)
        elif not directories and ID.fullmatch(entry.name.removesuffix(".json")):
            yield Path(entry.path)
