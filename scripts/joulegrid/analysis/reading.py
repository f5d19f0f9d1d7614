"""Reading the records of jobs for the dataset: those that are not there or are damaged are noted by
name.
"""

from collections.abc import Callable
from typing import Any

import orjson

from joulegrid.analysis.variables import STATUS
from joulegrid.records import DISTURBED, OK, OOM, ROOT, SCHEMA_VERSION, UNSUPPORTED
from joulegrid.study.accept import reasons
from joulegrid.study.shelf import RESULTS, Shelf
from joulegrid.study.specs import Job

Missing = list[dict[str, str]]
DAMAGED = "the file is damaged: delete it and run snakemake again"
MISPLACED = "the file holds the record of another job: delete it and run snakemake again"


class Records:
    """Reads records, and notes which are not there or are no measurement."""

    def __init__(self, shelf: Shelf):
        self.shelf = shelf
        self.missing: Missing = []

    def row(self, job: Job, extract: Callable[[dict], dict[str, Any]]) -> dict[str, Any]:
        """Status, reason and, of a record that is ok, what `extract` takes out of it.

        A record that is not what a job writes is damaged, wherever that shows: `extract` checks all
        that it takes (`Table.checked`), so that no such value gets any further.
        """
        content, path = self._read(job)
        row: dict[str, Any] = {}
        status, reason, accepted = "missing", "", None
        if content is None:
            reason = _why_not(path)
        else:
            try:
                record = orjson.loads(content)
                if record["schema_version"] != SCHEMA_VERSION:
                    reason = (
                        f"made by another joulegrid (schema version {record['schema_version']})"
                    )
                elif record["id"] != job.id:
                    reason = MISPLACED
                else:
                    found = _one_of(record["status"], (OK, OOM, UNSUPPORTED))
                    kept = _text(reasons(record["accepted"])) if "accepted" in record else None
                    row = extract(record) if found == OK else {"reason": _text(record["reason"])}
                    status, reason, accepted = found, row.get("reason", ""), kept
            except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError):
                row, reason = {}, DAMAGED
        if status != "ok":
            self._note(job, path, status, reason)
        return {**row, "status": STATUS.index(status), "accepted": accepted}

    def _read(self, job: Job) -> tuple[bytes | None, str]:
        """The content of a record and its path; None where it is not there.

        It is looked for where it should be first: asking the shelf takes longer.
        """
        path = f"{RESULTS}/{job.path}.json"
        try:
            with open(f"{ROOT}/{path}", "rb") as stream:
                return stream.read(), path
        except FileNotFoundError:
            elsewhere = self.shelf.record(job)
            return (
                (None, path) if elsewhere is None else ((ROOT / elsewhere).read_bytes(), elsewhere)
            )

    def _note(self, job: Job, path: str, status: str, reason: str) -> None:
        self.missing.append({"kind": job.kind, "path": path, "status": status, "reason": reason})


def _why_not(path: str) -> str:
    """Why a record is not there: the windows of a disturbed session lie beside its place."""
    try:
        beside = orjson.loads((ROOT / path).with_suffix(DISTURBED).read_bytes())
        return f"{beside['reason']} ({len(beside['windows'])} windows are kept)"
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"expected a text, got {value!r}")
    return value


def _one_of(value: Any, valid: tuple[str, ...]) -> str:
    if value not in valid:
        raise ValueError(f"expected one of {valid}, got {value!r}")
    return value
