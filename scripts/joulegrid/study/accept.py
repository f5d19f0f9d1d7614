"""Results that an upgrade of joulegrid or of a library left behind, and taking them over.

A record that is wanted and not there may have a predecessor: a record under the same labels whose
spec differs in code or packages alone, as do those of all that its weights were made from. Whether
its result stays valid is for people to judge. Who says so has it taken over under the new id; the
old record stays, and taking it back is deleting the new one.
"""

import json
import math
import os
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from joulegrid.jobs.weights import duplicate, duplicate_beside, is_whole
from joulegrid.records import ROOT, SCHEMA_VERSION, nameless, now, write_json
from joulegrid.study.shelf import ID, MARKERS, RESULTS, Shelf
from joulegrid.study.specs import Job, Specs

# What may differ between a record and its predecessor; what it is made from is compared by itself
IMPLEMENTATION = ("code", "packages", "made_from")
LISTINGS = Path(RESULTS, "code")

Record = dict[str, Any]
# A job, and the record that stands for it
Step = tuple[Job, Record]


@dataclass(frozen=True)
class Predecessor:
    """A record that may be taken over for a job.

    Parameters
    ----------
    sources
        what its weights were made from and is not what is wanted now, in the order of making.
    """

    job: Job
    path: str
    record: Record
    sources: tuple[Step, ...] = ()

    @property
    def gpu_hours(self) -> float:
        """What making it again would take, in GPU hours; 0 where no GPU was used."""
        return len(self.record.get("device", {}).get("gpus", ())) * self.hours

    @property
    def hours(self) -> float:
        """The same in hours of one job."""
        return self.record["elapsed_s"] / 3600

    @property
    def age(self) -> tuple[str, str]:
        """Orders predecessors: when it was made; of one that was taken over, also when."""
        return self.record["started"], (accepted_of(self.record) or {}).get("when", "")


def predecessors(jobs: Iterable[Job], shelf: Shelf) -> tuple[list[Predecessor], list[str]]:
    """For each of `jobs` that has one, the newest predecessor; and the paths of damaged records."""
    found: list[Predecessor] = []
    damaged: list[str] = []
    for job in jobs:
        candidates = []
        for path in _beside(job):
            record = _read(path)
            if record is None:
                damaged.append(path)
                continue
            sources = _differing(job, record, shelf)
            if sources is not None:
                candidates.append(Predecessor(job, path, record, sources))
        if candidates:
            found.append(max(candidates, key=lambda each: each.age))
    return found, damaged


def _beside(job: Job) -> list[str]:
    folder = ROOT / RESULTS / job.folder
    names = sorted(os.listdir(folder)) if folder.is_dir() else []
    ours = [
        name
        for name in names
        if ID.fullmatch(name.removesuffix(".json")) and name.endswith(".json")
    ]
    return [f"{RESULTS}/{job.folder}/{name}" for name in ours if name != f"{job.id}.json"]


def _read(path: str) -> Record | None:
    """A record, None where it is damaged."""
    try:
        record = json.loads((ROOT / path).read_bytes())
    except (OSError, ValueError):
        return None
    if not isinstance(record, dict):
        return None
    if record.get("schema_version") != SCHEMA_VERSION:
        return record  # of another joulegrid, which may have written it otherwise
    return record if _is_sound(record) and record.get("id") == Path(path).stem else None


def _is_sound(record: Record) -> bool:
    """Whether what is read of a record here is what it should be."""
    elapsed, device = record.get("elapsed_s"), record.get("device", {})
    return (
        isinstance(record.get("spec"), dict)
        and isinstance(record.get("started"), str)
        and isinstance(elapsed, int | float)
        and math.isfinite(elapsed)
        and isinstance(device, dict)
        and isinstance(device.get("gpus", []), list)
        and ("accepted" not in record or accepted_of(record) is not None)
    )


def _differing(job: Job, record: Record, shelf: Shelf) -> tuple[Step, ...] | None:
    """The records behind a predecessor's weights that are not those behind the job's.

    None where it is no predecessor: where it, or one of those, differs in more than code and
    packages, or where one of those is not there to be compared.
    """
    spec = record.get("spec")
    if record.get("schema_version") != SCHEMA_VERSION or not isinstance(spec, dict):
        return None
    if _judged(spec) != _judged(job.spec):
        return None
    name, source = spec.get("made_from"), job.source
    if source is None or name == source.id:
        return () if (source is None) == (name is None) else None
    for path in shelf.records_called(source.kind, str(name)):
        made = _read(path)
        before = _differing(source, made, shelf) if made is not None else None
        if made is not None and before is not None:
            return (*before, (source, made))
    return None


def _judged(spec: dict[str, Any]) -> Any:
    """What must not differ."""
    return nameless({key: value for key, value in spec.items() if key not in IMPLEMENTATION})


def changes(predecessor: Predecessor, specs: Specs) -> dict[str, list[str]]:
    """What changed between a record and what is wanted, a line for each definition and package:
    by kind in the making of its weights, and under no kind in the job itself.
    """
    found = {job.kind: _changes(job, record, specs) for job, record in predecessor.sources}
    found[""] = _changes(predecessor.job, predecessor.record, specs)
    return {kind: lines for kind, lines in found.items() if lines}


def _changes(job: Job, record: Record, specs: Specs) -> list[str]:
    lines = []
    for part, what in (("code", "definition"), ("packages", "package")):
        old, new = record["spec"].get(part), job.spec.get(part)
        if old == new:
            continue
        before, after = _listing(old), specs.listings.get(new or "")
        if before is None or after is None:
            lines.append(f"{part}: which {what}s is not known ({LISTINGS}/{old}.json is not there)")
            continue
        lines += [
            _change(name, before.get(name), after.get(name))
            for name in sorted({*before, *after})
            if before.get(name) != after.get(name)
        ]
    return lines


def _change(name: str, before: str | None, after: str | None) -> str:
    if ":" in name:  # a definition: its digest says nothing to people
        return f"{name} {'added' if before is None else 'removed' if after is None else 'changed'}"
    return f"{name} {before or 'not there'} → {after or 'not there'}"


@cache
def _listing(name: str | None) -> dict[str, str] | None:
    try:
        return json.loads((ROOT / LISTINGS / f"{name}.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def keep_listings(specs: Specs) -> None:
    """Write down what the digests of code and packages in the specs stand for, for later
    comparison.
    """
    for name, content in specs.listings.items():
        path = ROOT / LISTINGS / f"{name}.json"
        if not path.exists():
            write_json(path, content)


def take_over(found: list[Predecessor], reason: str, shelf: Shelf) -> None:
    """Write each record under its new id, with what it was taken from and why; one that had been
    taken over before says so still. Weights get a folder of their own.
    """
    for each in found:
        accepted: dict[str, Any] = {"from": Path(each.path).stem, "reason": reason, "when": now()}
        if (before := accepted_of(each.record)) is not None:
            accepted["before"] = before
        record = {**each.record, "id": each.job.id, "spec": each.job.spec, "accepted": accepted}
        if each.job.kind in MARKERS:
            _take_weights(each, shelf)
        write_json(new := ROOT / RESULTS / f"{each.job.path}.json", record)
        duplicate_beside(ROOT / each.path, new)


def _take_weights(each: Predecessor, shelf: Shelf) -> None:
    """Weights that are gone are made anew when something needs them."""
    old = _weights_of(each.path, shelf)
    if is_whole(old):
        duplicate(old, ROOT / shelf.artifacts / each.job.path)


def _weights_of(record: str, shelf: Shelf) -> Path:
    """The folder of the weights that a record is about."""
    return ROOT / shelf.artifacts / Path(record).relative_to(RESULTS).with_suffix("")


@dataclass(frozen=True)
class Taken:
    """A record that was taken over; `accepted` is what it says of that."""

    job: Job
    path: str
    accepted: dict[str, Any]

    @property
    def origin(self) -> str:
        """The path of the record that it was taken from."""
        return str(Path(self.path).with_name(f"{self.accepted['from']}.json"))


def taken_over(jobs: Iterable[Job], shelf: Shelf) -> list[Taken]:
    """Every record of `jobs` that was taken over."""
    found = []
    for job in jobs:
        path = shelf.record(job)
        if path and (accepted := accepted_of(_content(path))) is not None:
            found.append(Taken(job, path, accepted))
    return found


def _content(path: str) -> Any:
    """What stands in a record that was taken over; None for the others, which are many."""
    text = (ROOT / path).read_bytes()
    try:
        return json.loads(text) if b'"accepted"' in text else None
    except ValueError:
        return None


def accepted_of(record: Any) -> dict[str, Any] | None:
    """What a record says of being taken over, None where it was not."""
    found = record.get("accepted") if isinstance(record, dict) else None
    keys = ("from", "reason", "when")
    sound = isinstance(found, dict) and all(isinstance(found.get(key), str) for key in keys)
    return found if sound else None


def origins(accepted: dict[str, Any]) -> list[str]:
    """The ids of what a record was taken from, and of what that was taken from in turn."""
    before = accepted_of({"accepted": accepted.get("before")})
    return [accepted["from"], *(origins(before) if before else [])]


def reasons(accepted: dict[str, Any]) -> str:
    """Why a record was kept, each time that it was: the last reason first."""
    before = accepted.get("before")
    return "; before: ".join([accepted["reason"], *([reasons(before)] if before else [])])


def made_on(taken: list[Taken], jobs: Iterable[Job], shelf: Shelf) -> list[str]:
    """The records of `jobs` that were made on weights that were taken over, and were not
    themselves.
    """
    ours = {each.job.path for each in taken}
    found = []
    for job in jobs:
        source = job.source
        while source is not None and source.path not in ours:
            source = source.source
        path = shelf.record(job) if source is not None and job.path not in ours else None
        found += [path] if path is not None else []
    return found


def retract(taken: list[Taken], shelf: Shelf) -> None:
    """Delete records that were taken over, and their weights; what they were taken from stays."""
    for each in taken:
        (ROOT / each.path).unlink()
        if each.job.kind in MARKERS:
            shutil.rmtree(_weights_of(each.path, shelf), ignore_errors=True)
