"""Results that no study names any more: models, weights and records, with their sizes and what
lies beside them.

Apart from them stand those that no study names but that `accept` could take over, or that something
was taken over from.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from joulegrid.errors import InputError
from joulegrid.records import ROOT
from joulegrid.study import accept, scale, study
from joulegrid.study.shelf import ID, MARKERS, RESULTS, Shelf, jobs_of, results_below
from joulegrid.study.specs import KINDS, Job, Specs
from joulegrid.study.yaml import read_yaml


@dataclass(frozen=True)
class Unused:
    """A record, or a folder of weights, that no study names.

    Parameters
    ----------
    use
        what it is good for all the same; empty where nothing.
    """

    kind: str
    path: Path
    size_bytes: int
    use: str = ""


def studies(parts: list[str]) -> tuple[list[study.Study], list[str]]:
    """All studies in config/, at every scale that they have, and what could not be read as one.

    Parameters
    ----------
    parts
        files that need not be studies by themselves: they are merged into the one that is given.
    """
    found, wrong = [], []
    merged = {Path(path).resolve() for path in parts}
    for path in sorted((ROOT / "config").rglob("*.yaml")):
        try:
            data = read_yaml(path)
            if isinstance(data, dict) and "study" in data:
                found.append(study.load([path]))
                found += [study.load([path], {scale.KEY: each}) for each in scale.scales_of(path)]
        except InputError as error:
            if path.resolve() not in merged:
                wrong.append(str(error))
    return found, wrong


def unused(known: list[study.Study], artifacts: str) -> list[Unused]:
    """Everything below results/ and the artifacts whose id is none of the studies' own, largest
    first.
    """
    wanted: set[str] = set()
    uses: dict[str, str] = {}
    for each in known:
        jobs = list(jobs_of(Specs(each)))
        wanted |= {job.id for job in jobs}
        uses |= _uses(jobs, Shelf(artifacts, jobs))
    found = []
    for kind in KINDS:
        records = _files(ROOT / RESULTS / kind)
        folders = (
            results_below(ROOT / artifacts / kind, directories=True) if kind in MARKERS else ()
        )
        for path in (*records, *folders):
            name = path.name.partition(".")[0]
            if name not in wanted:
                found.append(Unused(kind, path, _size(path), uses.get(name, "")))
    return sorted(found, key=lambda each: (-each.size_bytes, str(each.path)))


def _files(folder: Path) -> Iterator[Path]:
    """Records, and what lies beside them or beside the place of one: samples of a session, requests
    of a replay, what a disturbed session left.
    """
    for path in sorted(folder.rglob("*.*")):
        if ID.fullmatch(path.name.partition(".")[0]) and path.is_file():
            yield path


def _uses(jobs: list[Job], shelf: Shelf) -> dict[str, str]:
    """Id -> what it is good for, of results that are not among those of a study's jobs."""
    found: dict[str, str] = {}
    told: list[dict] = []
    for each in accept.predecessors(shelf.missing(jobs), shelf)[0]:
        records = [each.record, *(record for _, record in each.sources)]
        found |= {record["id"]: "`accept` could take it over" for record in records}
        told += [accepted for record in records if (accepted := accept.accepted_of(record))]
    told += [taken.accepted for taken in accept.taken_over(jobs, shelf)]
    origins = [name for accepted in told for name in accept.origins(accepted)]
    return dict.fromkeys(origins, "something was taken over from it") | found


def _size(path: Path) -> int:
    """Bytes on disk that deleting would free: links are not followed, and what several folders
    hold in common counts for each in part.
    """
    if not path.is_dir():
        return path.stat().st_size
    entries = [entry for entry in path.rglob("*") if entry.is_symlink() or not entry.is_dir()]
    stats = [entry.stat(follow_symlinks=False) for entry in entries]
    return sum(found.st_size // found.st_nlink for found in stats)
