"""Prompts and rows out of a data set: a folder of Parquet or JSON files, here or on the hub of
Hugging Face.

Files are read as data; no code of a data set runs. What comes of it is frozen into a file, and what
studies know is that file's content.
"""

import json
import random
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import parquet

from joulegrid.errors import InputError
from joulegrid.jobs.run import say
from joulegrid.models import hub
from joulegrid.records import ROOT, sha256_file
from joulegrid.texts.files import decode

Row = dict[str, Any]
FORMATS = (".parquet", ".jsonl", ".json")
# How conversations call who speaks, and a person; what a turn says
SPEAKERS, HUMANS, SAYINGS = ("from", "role"), ("human", "user"), ("value", "content", "text")
# Rows of a Parquet file that are read at once
BATCH = 1024


def prompts(entry: dict[str, Any]) -> tuple[list[str], dict[str, Any]]:
    """The prompts that `entry` chooses, in the order of the files.

    Parameters
    ----------
    entry
        `hub` and `revision`, or `path`; `files` (a pattern), `column`, `take` (`whole`, `first`,
        `human`), `where` (column -> value, or a list of them), `min_characters`,
        `max_characters`, `count`, `seed`.

    Returns
    -------
    The prompts, and what they come from: `files` (name -> SHA-256), `rows`, and `suitable` of them.

    Raises
    ------
    InputError
        where there is no such data, a row is not what `take` expects, or fewer than `count` are
        suitable.
    """
    folder, files = _files(entry)
    found, read = [], 0
    for path in files:
        for number, row in enumerate(_rows(path, [entry["column"], *entry["where"]]), start=1):
            read += 1
            text = _prompt(row, entry, f"{path.relative_to(folder)}: row {number}")
            if text is not None:
                found.append(text)
    return _drawn(found, entry), _facts(folder, files, read, len(found))


def rows(entry: dict[str, Any]) -> tuple[list[Row], dict[str, Any]]:
    """The rows that `entry` chooses, with the columns that it names, in the order of the files.

    Parameters
    ----------
    entry
        `hub` and `revision`, or `path`; `files` (a pattern), `columns` (a list), `where` (column ->
        value, or a list of them), `count`, `seed`.

    Returns
    -------
    As `prompts`, rows in their place.

    Raises
    ------
    InputError
        where there is no such data, a row lacks a column, holds what JSON has no word for, or fewer
        than `count` are suitable.
    """
    folder, files = _files(entry)
    columns = list(dict.fromkeys([*entry["columns"], *entry["where"]]))
    found: list[Row] = []
    read = 0
    for path in files:
        for number, row in enumerate(_rows(path, columns), start=1):
            read += 1
            if _is_wanted(row, entry):
                found.append({name: row[name] for name in entry["columns"]})
                _require_json(found[-1], f"{path.relative_to(folder)}: row {number}")
    return _drawn(found, entry), _facts(folder, files, read, len(found))


def _require_json(row: Row, where: str) -> None:
    for name, value in row.items():
        try:
            json.dumps(value, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise InputError(f"{where}: {name}: {error}; leave the column out of columns") from None


def _facts(folder: Path, files: list[Path], read: int, suitable: int) -> dict[str, Any]:
    """What a record says of the files that were read."""
    say(f"{read} rows read, {suitable} of them suitable")
    hashes = {str(path.relative_to(folder)): sha256_file(path) for path in files}
    return {"files": hashes, "rows": read, "suitable": suitable}


def _files(entry: dict[str, Any]) -> tuple[Path, list[Path]]:
    """The folder of a data set, and those of its files that are named, in the order of their
    names.
    """
    folder = _folder(entry)
    files = [path for path in sorted(folder.rglob("*")) if _is_named(path, folder, entry["files"])]
    if not files:
        there = sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())
        raise InputError(
            f"{entry['files']}: no {', '.join(FORMATS)} file of that name in {_name(entry)}; "
            f"there: {', '.join(there[:6]) or 'nothing'}{', …' if len(there) > 6 else ''}"
        )
    return folder, files


def _name(entry: dict[str, Any]) -> str:
    return entry.get("hub") or entry["path"]


def _folder(entry: dict[str, Any]) -> Path:
    if "hub" in entry:
        return hub.data_set(entry["hub"], entry["revision"], entry["files"])
    folder = ROOT / entry["path"]
    if not folder.is_dir():
        raise InputError(f"{entry['path']}: no such folder")
    return folder


def _is_named(path: Path, folder: Path, pattern: str) -> bool:
    named = fnmatch(str(path.relative_to(folder)), pattern)
    return named and path.suffix in FORMATS and path.is_file()


def _rows(path: Path, columns: list[str]) -> Iterator[Row]:
    """The rows of a file with these columns alone."""
    if path.suffix == ".parquet":
        yield from _of_parquet(path, columns)
        return
    text = decode(path.read_bytes(), path.name)
    lines = text.split("\n") if path.suffix == ".jsonl" else [text]
    for number, line in enumerate(lines, start=1):
        if line.strip():
            try:
                read = json.loads(line)
            except ValueError as error:
                raise InputError(f"{path.name}:{number}: not JSON ({error})") from None
            for row in read if isinstance(read, list) else [read]:
                yield _with(row, columns, f"{path.name}:{number}")


def _of_parquet(path: Path, columns: list[str]) -> Iterator[Row]:
    try:
        file = parquet.ParquetFile(path)
        _with(dict.fromkeys(file.schema_arrow.names), columns, path.name)
        for batch in file.iter_batches(BATCH, columns=columns):
            yield from batch.to_pylist()
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"{path.name}: not a Parquet file ({error})") from None


def _with(row: Any, columns: list[str], where: str) -> Row:
    if not isinstance(row, dict):
        raise InputError(f"{where}: expected an object of columns, got {type(row).__name__}")
    lacking = [column for column in columns if column not in row]
    if lacking:
        raise InputError(f"{where}: no column {lacking[0]!r}; there: {', '.join(row) or 'none'}")
    return row


def _prompt(row: Row, entry: dict[str, Any], where: str) -> str | None:
    """The prompt in a row, None where it is not one of those that are wanted."""
    if not _is_wanted(row, entry):
        return None
    text = _taken(row[entry["column"]], entry["take"], f"{where}: {entry['column']}")
    longest = entry.get("max_characters")
    if text is None or len(text) < entry["min_characters"] or (longest and len(text) > longest):
        return None
    return text


def _is_wanted(row: Row, entry: dict[str, Any]) -> bool:
    """Whether the columns of `where` have one of their values."""
    return all(
        row[column] in (wanted if isinstance(wanted, list) else [wanted])
        for column, wanted in entry["where"].items()
    )


def _taken(value: Any, take: str, where: str) -> str | None:
    """The text that `take` means, stripped; None where there is none."""
    if take != "whole":
        turns = [] if value is None else value
        if not isinstance(turns, list):
            raise InputError(f"{where}: expected a list of turns, got {type(value).__name__}")
        value = next((turn for turn in turns if take == "first" or _is_human(turn)), None)
        if isinstance(value, dict):
            value = next((value[key] for key in SAYINGS if key in value), None)
    if value is None:
        return None
    if not isinstance(value, str):
        hint = "; take: first or human chooses a turn" if isinstance(value, list) else ""
        raise InputError(f"{where}: expected a text, got {type(value).__name__}{hint}")
    return value.strip() or None


def _is_human(turn: Any) -> bool:
    return isinstance(turn, dict) and any(turn.get(key) in HUMANS for key in SPEAKERS)


def _drawn(found: list[Any], entry: dict[str, Any]) -> list[Any]:
    """All, or `count` of them by the seed."""
    count = entry.get("count", len(found))
    if not found or count > len(found):
        of_rows = "columns" in entry
        more = "" if of_rows else ", min_characters, max_characters"
        raise InputError(
            f"{_name(entry)}: {len(found)} {'rows' if of_rows else 'prompts'} are suitable, "
            f"expected {max(count, 1)}; ask for fewer, or loosen where{more}"
        )
    chosen = sorted(random.Random(entry["seed"]).sample(range(len(found)), count))
    return [found[n] for n in chosen]
