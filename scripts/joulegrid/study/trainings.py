"""The trainings of a study: numbers of epochs as labels, which trainings share a run, and whether
their data has what they ask for.
"""

import re
from codecs import BOM_UTF8
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

from joulegrid.errors import InputError
from joulegrid.records import ROOT
from joulegrid.study import frozen
from joulegrid.study.validation import nearest
from joulegrid.texts.rows import SUFFIX, content_of, rows_in
from joulegrid.texts.templates import fields_of, is_no_number

# So many rows of a data set are looked at before all are
LOOKED_AT = 2000
# Values that Python's reader of JSON takes and JSON has no word for
NO_NUMBERS = (b"NaN", b"Infinity")
# With these the first epochs are the same, however many follow
SHARING = ("constant",)


def expanded(data: dict[str, Any]) -> dict[str, Any]:
    """A study in which every training has one number of epochs.

    `lora` with `epochs: [5, 10]` becomes `lora-e5` and `lora-e10`; rules of the grid and of the
    selection that name `lora` mean both.

    Raises
    ------
    InputError
        where a label made in this way is there already.
    """
    entries: dict[str, Any] = {}
    made: dict[str, list[str]] = {}
    for label, entry in data["training"].items():
        if not isinstance(entry.get("epochs"), list):
            entries[label] = entry
            continue
        made[label] = _labels(label, entry)
        for name, epochs in zip(made[label], sorted(entry["epochs"]), strict=True):
            if name in data["training"]:
                raise InputError(
                    f"training.{label}.epochs: the label {name} is there already; rename it"
                )
            entries[name] = {**entry, "epochs": epochs}
    if not made:
        return data
    grid = {
        kind: [_with_labels(rule, made) for rule in rules] for kind, rules in data["grid"].items()
    }
    found = {**data, "training": entries, "grid": grid}
    if "selection" in data:
        rules = [_with_labels(rule, made) for rule in data["selection"]["candidates"]]
        found["selection"] = {**data["selection"], "candidates": rules}
    return found


def _labels(label: str, entry: dict[str, Any]) -> list[str]:
    return [f"{label}-e{epochs}" for epochs in sorted(entry["epochs"])]


def named(label: str, known: Iterable[str]) -> list[str]:
    """Those of the `known` labels of an expanded study that a label of its file means: itself, or
    all of its numbers of epochs.
    """
    pattern = re.compile(rf"{re.escape(label)}(-e[0-9]+)?")
    found = [name for name in known if pattern.fullmatch(name)]
    return [label] if label in found else found


def as_written(lines: list[str], written: dict[str, Any]) -> list[str]:
    """What is wrong with a study that was `expanded`, by the labels of the file, each once."""
    for label, entry in written["training"].items():
        for name in _labels(label, entry) if isinstance(entry.get("epochs"), list) else ():
            lines = [
                f"training.{label}.{line.removeprefix(f'training.{name}.')}"
                if line.startswith(f"training.{name}.")
                else line
                for line in lines
            ]
    return list(dict.fromkeys(lines))


def _with_labels(rule: dict[str, Any], made: dict[str, list[str]]) -> dict[str, Any]:
    named = rule.get("training", [])
    named = [named] if isinstance(named, str) else named
    if not set(named) & set(made):
        return rule
    return {**rule, "training": [name for label in named for name in made.get(label, [label])]}


def shorter(entries: dict[str, Any], label: str) -> str | None:
    """The training whose run `label` goes on with: the longest of those that differ from it in
    having fewer epochs alone, where the schedule makes their first epochs the same.
    """
    own = entries[label]
    if own.get("schedule") not in SHARING:
        return None
    found = [
        (entry["epochs"], other)
        for other, entry in entries.items()
        if entry.get("epochs", own["epochs"]) < own["epochs"]
        and {**entry, "epochs": own["epochs"]} == own
    ]
    return max(found)[1] if found else None


def problems(data: dict[str, Any]) -> list[str]:
    """What is wrong with the data sets of the trainings: a line each."""
    lines: list[str] = []
    for label, entry in data["training"].items():
        if "data" in entry:
            lines += [f"training.{label}.data.{line}" for line in _of_data(entry["data"])]
    return lines


def _of_data(asked: dict[str, Any]) -> list[str]:
    try:
        fields = fields_of(asked["template"])
    except InputError as error:
        return [f"template: {error}"]
    if asked["answer"] in fields:
        return [f"template: it holds {{{asked['answer']}}}, the answer; a model would read it off"]
    wanted = [*fields, asked["answer"], *([asked["split_by"]] if "split_by" in asked else [])]
    lines = [
        f"{key}.{name}: no such field in the template, answer or split_by; {nearest(name, wanted)}"
        for key in ("columns", "optional")
        for name in asked.get(key, {})
        if name not in wanted
    ]
    if asked["answer"] in asked.get("optional", {}):
        lines.append(f"optional.{asked['answer']}: the answer cannot be left out")
    try:
        path = ROOT / frozen.file_of(asked["file"], frozen.ROWS)
    except InputError:  # it is named where files are resolved
        return lines
    if path.exists():
        lines += _lacking(asked, wanted, path)
        lines += _no_numbers(asked, wanted, path)
        lines += [
            f"file: {asked['file']}/{name} begins with a byte order mark, which hides its first "
            "row; save it without"
            for name in _marked(path)
        ]
    return lines


def _lacking(asked: dict[str, Any], wanted: list[str], path: Path) -> list[str]:
    columns = _columns(path)
    named = {name: asked.get("columns", {}).get(name, name) for name in wanted}
    if columns and not columns.issuperset(named.values()):
        columns = _columns(path, None)
    return [
        f"{'columns.' if name in asked.get('columns', {}) else ''}{name}: no row of "
        f"{asked['file']} has a column {column!r}; {nearest(column, sorted(columns))}"
        for name, column in named.items()
        if columns and column not in columns and name not in asked.get("optional", {})
    ]


def _no_numbers(asked: dict[str, Any], wanted: list[str], path: Path) -> list[str]:
    columns = dict.fromkeys(asked.get("columns", {}).get(name, name) for name in wanted)
    return [
        f"file: {count} rows of {asked['file']} have NaN or Infinity in the column {column!r}, "
        "which a prompt would spell out; write null where a value is missing"
        for column in columns
        if (count := sum(is_no_number(row.get(column)) for row in _suspicious(path)))
    ]


@cache
def _suspicious(path: Path) -> list[dict[str, Any]]:
    """The rows of a data set that may hold what is no number; of others no line is parsed."""
    try:
        content = content_of(path)
    except OSError:  # it is named where files are resolved
        return []
    lines = [line for line in content.splitlines() if any(word in line for word in NO_NUMBERS)]
    return rows_in(b"\n".join(lines))[0]


def _marked(path: Path) -> list[str]:
    """The files of a folder whose first row a byte order mark hides: of the first it is none."""
    if not path.is_dir():
        return []
    behind = sorted(path.glob(f"*{SUFFIX}"))[1:]
    return [file.name for file in behind if _begins(file) == BOM_UTF8]


def _begins(file: Path) -> bytes:
    with file.open("rb") as stream:
        return stream.read(len(BOM_UTF8))


@cache
def _columns(path: Path, first: int | None = LOOKED_AT) -> frozenset[str]:
    """The columns of the first rows of a data set, or of all; none where it cannot be read."""
    try:
        lines = content_of(path).splitlines()[:first]
    except OSError:  # it is named where files are resolved
        return frozenset()
    rows, _ = rows_in(b"\n".join(lines))
    return frozenset(column for row in rows for column in row)


def is_data(path: Path) -> bool:
    """Whether a path may be a data set: JSON lines, or a folder with some."""
    return any(path.glob(f"*{SUFFIX}")) if path.is_dir() else path.suffix == SUFFIX
