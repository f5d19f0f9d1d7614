"""Reading the records of jobs for the dataset: those that are not there or are damaged are noted by
name.
"""

import json
import os
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

from msgspec import MsgspecError
from msgspec.json import Decoder

from joulegrid.analysis.recorded.making import Ended, Made, Model, Trained, Training
from joulegrid.analysis.recorded.quality import Evaluation, Judgments, Texts
from joulegrid.analysis.recorded.session import Session
from joulegrid.analysis.variables import STATUS
from joulegrid.records import (
    DISTURBED,
    DIVERGED,
    OK,
    OOM,
    REQUESTS,
    ROOT,
    SCHEMA_VERSION,
    UNSUPPORTED,
)
from joulegrid.study.accept import reasons
from joulegrid.study.infeasible import Infeasible
from joulegrid.study.infeasible import reason as why_not_sent
from joulegrid.study.shelf import RESULTS, Shelf
from joulegrid.study.specs import Job

Missing = list[dict[str, str]]
DAMAGED = "the file is damaged: delete it and run snakemake again"
MISPLACED = "the file holds the record of another job: delete it and run snakemake again"


CHUNK = 1 << 16
Shape = TypeVar("Shape", Session, Evaluation, Judgments, Texts, Made, Model, Training, Trained)


class Records:
    """Reads records, and notes which are not there or are no measurement."""

    def __init__(self, shelf: Shelf, infeasible: Infeasible = MappingProxyType({})):
        self.shelf, self._infeasible = shelf, infeasible
        self.missing: Missing = []
        # kind of job -> (seconds, joules) of each with a result, and of trainings that ended early
        self.spent: dict[str, list[tuple[float, float]]] = {}

    def row(
        self,
        job: Job,
        shape: type[Shape],
        extract: Callable[[Shape], dict[str, Any]],
        of_ended: Callable[[Ended], dict[str, Any]] = lambda _: {},
    ) -> dict[str, Any]:
        """Status, id, reason and, of a record that is ok, what `extract` takes out of it; that may
        have a status of its own. Of a finding it is what `of_ended` takes out of it. Of what is
        known not to fit no record is missing.

        A record that is not what a job writes is damaged, wherever that shows: `shape` holds all
        that is taken out of it, and what has another one is not read.
        """
        content, path = self._read(job)
        if content is None and (why := why_not_sent(self._infeasible, job.labels)) is not None:
            return {"status": STATUS.index("infeasible"), "reason": why, "accepted": None}
        row: dict[str, Any] = {}
        status, reason, accepted = "missing", "", None
        if content is None:
            reason = _why_not(path)
        else:
            try:
                record = _decoded(content, shape)
                if record.schema_version != SCHEMA_VERSION:
                    reason = f"made by another joulegrid (schema version {record.schema_version})"
                elif record.id != job.id:
                    reason = MISPLACED
                else:
                    kept = _reasons(record.accepted) if record.accepted is not None else None
                    if isinstance(record, Ended):
                        row = {"reason": record.reason, **of_ended(record)}
                    else:
                        row = extract(record)
                    if (spent := record.spent) is not None:
                        self.spent.setdefault(job.kind, []).append(spent)
                    status = row.pop("status", record.status)
                    reason, accepted = row.get("reason", record.reason), kept
            except (ArithmeticError, LookupError, TypeError, ValueError, MsgspecError):
                row, reason = {}, DAMAGED
        if status != OK:
            self._note(job, path, status, reason)
        if status != "missing":
            row["id"] = job.id
        row["status"], row["accepted"] = STATUS.index(status), accepted
        return row

    def beside(self, job: Job) -> Path:
        """Where the requests of a job whose record is there are kept, if it is a replay."""
        return (ROOT / (self.shelf.record(job) or "")).with_suffix(REQUESTS)

    def _read(self, job: Job) -> tuple[bytes | None, str]:
        """The content of a record and its path; None where it is not there.

        It is looked for where it should be first: asking the shelf takes longer.
        """
        path = f"{RESULTS}/{job.path}.json"
        try:
            return _content(f"{ROOT}/{path}"), path
        except FileNotFoundError:
            elsewhere = self.shelf.record(job)
            return (
                (None, path) if elsewhere is None else (_content(f"{ROOT}/{elsewhere}"), elsewhere)
            )

    def _note(self, job: Job, path: str, status: str, reason: str) -> None:
        self.missing.append({"kind": job.kind, "path": path, "status": status, "reason": reason})


def _why_not(path: str) -> str:
    """Why a record is not there: windows of a session that cannot count lie beside its place."""
    try:
        beside = json.loads((ROOT / path).with_suffix(DISTURBED).read_bytes())
        reason = beside["reason"].partition("\n")[0]  # a log may follow
        return f"{reason} ({len(beside['windows'])} windows are kept)"
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return ""


def _content(path: str) -> bytes:
    """All of a file; half the time of a file object's, which counts with 10,000 records."""
    handle = os.open(path, os.O_RDONLY)
    try:
        parts = [os.read(handle, CHUNK)]
        while len(parts[-1]) == CHUNK:
            parts.append(os.read(handle, CHUNK))
        return b"".join(parts)
    finally:
        os.close(handle)


_decoder = cache(Decoder)


def _decoded(content: bytes, shape: type[Shape]) -> Shape | Ended:
    """A record that is ok, with all that `shape` holds, or a finding."""
    try:
        record = _decoder(shape).decode(content)
    except MsgspecError:
        ended = _decoder(Ended).decode(content)
        if ended.schema_version == SCHEMA_VERSION and ended.status not in (
            OOM,
            UNSUPPORTED,
            DIVERGED,
        ):
            raise
        return ended
    if record.status != OK:
        raise ValueError(f"the record of a finding has the values of a result: {record.status}")
    return record


def _reasons(accepted: dict[str, Any]) -> str:
    found = reasons(accepted)
    if not isinstance(found, str):
        raise TypeError(f"expected a text, got {found!r}")
    return found
