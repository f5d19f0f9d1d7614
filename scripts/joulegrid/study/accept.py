"""Results that an upgrade of joulegrid or of a library left behind, and taking them over.

A record that is wanted and not there may have a predecessor: a record under the same labels whose
spec differs in code or packages alone (and in the weights it names, where those differ in nothing
else). Whether its result stays valid is for people to judge. Who says so has it taken over under
the new id; the old record stays, and taking it back is deleting the new one.
"""

import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from joulegrid.jobs.weights import MANIFEST, link_files
from joulegrid.records import ROOT, SCHEMA_VERSION, nameless, now, write_json
from joulegrid.study.shelf import ID, RESULTS, Shelf
from joulegrid.study.specs import Job, Specs

# What may differ between a record and its predecessor
IMPLEMENTATION = ("code", "packages", "made_from")
LISTINGS = Path(RESULTS, "code")


@dataclass(frozen=True)
class Predecessor:
    """A record that may be taken over for a job."""

    job: Job
    path: str
    record: dict[str, Any]

    @property
    def gpu_hours(self) -> float:
        """What making it again would take, in GPU hours; 0 where no GPU was used."""
        gpus = len(self.record.get("device", {}).get("gpus", ()))
        return gpus * self.record.get("elapsed_s", 0.0) / 3600

    @property
    def hours(self) -> float:
        """The same in hours of one job."""
        return self.record.get("elapsed_s", 0.0) / 3600


def predecessors(jobs: Iterable[Job]) -> list[Predecessor]:
    """For each of `jobs` that has one, the newest predecessor."""
    found = []
    for job in jobs:
        candidates = [p for path in _beside(job) if (p := _predecessor(job, path)) is not None]
        if candidates:
            found.append(max(candidates, key=lambda p: p.record["started"]))
    return found


def _beside(job: Job) -> list[str]:
    folder = ROOT / RESULTS / job.folder
    names = sorted(os.listdir(folder)) if folder.is_dir() else []
    ours = [
        name
        for name in names
        if ID.fullmatch(name.removesuffix(".json")) and name.endswith(".json")
    ]
    return [f"{RESULTS}/{job.folder}/{name}" for name in ours if name != f"{job.id}.json"]


def _predecessor(job: Job, path: str) -> Predecessor | None:
    try:
        record = json.loads((ROOT / path).read_bytes())
        same = record["schema_version"] == SCHEMA_VERSION and _judged(record["spec"]) == _judged(
            job.spec
        )
        return Predecessor(job, path, record) if same and "started" in record else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _judged(spec: dict[str, Any]) -> Any:
    """What must not differ."""
    return nameless({key: value for key, value in spec.items() if key not in IMPLEMENTATION})


def changes(predecessor: Predecessor, specs: Specs) -> list[str]:
    """What changed between a record and what is wanted: definitions and packages, a line each."""
    lines = []
    for part, what in (("code", "definition"), ("packages", "package")):
        old, new = predecessor.record["spec"].get(part), predecessor.job.spec.get(part)
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
    return lines or ["the weights it was made from"]


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
    """Write each record under its new id, with what it was taken from; weights are linked, not
    copied.
    """
    for each in found:
        accepted = {"from": Path(each.path).stem, "reason": reason, "when": now()}
        record = {**each.record, "id": each.job.id, "spec": each.job.spec, "accepted": accepted}
        if each.job.kind in ("models", "pruned", "weights", "training"):
            _link_weights(each, shelf)
        write_json(ROOT / RESULTS / f"{each.job.path}.json", record)


def _link_weights(each: Predecessor, shelf: Shelf) -> None:
    old = ROOT / shelf.artifacts / each.job.folder / Path(each.path).stem
    new = ROOT / shelf.artifacts / each.job.path
    if old.is_dir() and not new.exists():
        new.mkdir(parents=True)
        link_files([path for path in sorted(old.iterdir()) if path.name != MANIFEST], new)
        if (old / MANIFEST).is_file():
            (new / MANIFEST).write_bytes((old / MANIFEST).read_bytes())


def accepted(jobs: Iterable[Job], shelf: Shelf) -> list[tuple[str, dict[str, str]]]:
    """(path, what it was taken from) of every record of `jobs` that was taken over."""
    found = []
    for job in jobs:
        path = shelf.record(job)
        if path is None:
            continue
        try:
            record = json.loads((ROOT / path).read_bytes())
        except ValueError:
            continue
        if "accepted" in record:
            found.append((path, record["accepted"]))
    return found


def retract(taken: list[tuple[str, dict[str, str]]]) -> None:
    """Delete records that were taken over; what they were taken from stays."""
    for path, _ in taken:
        (ROOT / path).unlink()
