"""Results that no study names any more: models, weights and records, with their sizes."""

import os
from dataclasses import dataclass
from pathlib import Path

from joulegrid.errors import InputError
from joulegrid.records import ROOT
from joulegrid.study import study
from joulegrid.study.shelf import MARKERS, RESULTS, jobs_of, results_below
from joulegrid.study.specs import Specs
from joulegrid.study.yaml import read_yaml

KINDS = (*MARKERS, "energy", "quality")


@dataclass(frozen=True)
class Unused:
    """A record, or a folder of weights, that no study names."""

    kind: str
    path: Path
    size_bytes: int


def studies(more: list[str]) -> tuple[list[study.Study], list[str]]:
    """All studies in config/, and those in `more`; and what could not be read as one."""
    paths = [*sorted((ROOT / "config").rglob("*.yaml")), *(Path(path).resolve() for path in more)]
    found, wrong = [], []
    for path in dict.fromkeys(paths):
        try:
            data = read_yaml(path)
            if isinstance(data, dict) and "study" in data:
                found.append(study.load([path]))
        except InputError as error:
            wrong.append(str(error))
    return found, wrong


def unused(known: list[study.Study], artifacts: str) -> list[Unused]:
    """Everything below results/ and the artifacts whose id is none of the studies' own, largest
    first.
    """
    wanted = {job.id for each in known for job in jobs_of(Specs(each))}
    found = []
    for kind in KINDS:
        records = results_below(ROOT / RESULTS / kind, directories=False)
        folders = (
            results_below(ROOT / artifacts / kind, directories=True) if kind in MARKERS else ()
        )
        for path in (*records, *folders):
            if path.name.removesuffix(".json") not in wanted:
                found.append(Unused(kind, path, _size(path)))
    return sorted(found, key=lambda each: (-each.size_bytes, str(each.path)))


def _size(path: Path) -> int:
    """Bytes on disk that deleting would free: links are not followed."""
    if path.is_dir():
        return sum(
            entry.stat(follow_symlinks=False).st_size
            for entry in os.scandir(path)
            if not entry.is_dir()
        )
    return path.stat().st_size
