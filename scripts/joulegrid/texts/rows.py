"""Rows of a data set for fine-tuning: read, turned into prompts and answers, split.

A data set is JSON lines, in one file or in all `*.jsonl` of a folder. What cannot be used is left
out and counted by its reason; it never ends up in a mean.

Importable in every environment: the standard library only.
"""

import hashlib
import json
import random
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from joulegrid.errors import InputError
from joulegrid.records import ROOT
from joulegrid.texts.templates import HALF, fields_of, filled

SUFFIX = ".jsonl"
# An answer that is shorter than this, "Correct." say, may stand in its prompt by chance
LEAK_CHARACTERS = 20
REFUSE, KEEP = "refuse", "keep"


class Sample(NamedTuple):
    """What a model is asked, and what it shall answer; what has one `group` is split as a whole."""

    prompt: str
    answer: str
    group: str


class Parts(NamedTuple):
    """The samples to train on, and those to validate with."""

    training: list[Sample]
    validation: list[Sample]


def content_of(path: Path) -> bytes:
    """The lines of a file, or of all `*.jsonl` of a folder in the order of their names."""
    files = sorted(path.glob(f"*{SUFFIX}")) if path.is_dir() else [path]
    *parts, last = [file.read_bytes() for file in files] or [b""]
    ended = (part if part.endswith(b"\n") else part + b"\n" for part in parts if part)
    return b"".join([*ended, last])


def rows_in(content: bytes) -> tuple[list[dict[str, Any]], Counter[str]]:
    """The rows in JSON lines, and how many lines are none, by reason.

    The reasons are `empty_line`, `not_utf8` and `not_json` (no JSON object).
    """
    rows, dropped = [], Counter[str]()
    for line in content.removeprefix(b"\xef\xbb\xbf").splitlines():
        if not line.strip():
            dropped["empty_line"] += 1
            continue
        try:
            row = json.loads(line.decode("utf-8"))
        except UnicodeDecodeError:
            dropped["not_utf8"] += 1
            continue
        except ValueError:
            row = None
        if isinstance(row, dict):
            rows.append(row)
        else:
            dropped["not_json"] += 1
    return rows, dropped


def samples_of(
    rows: Iterable[dict[str, Any]], data: dict[str, Any]
) -> tuple[list[Sample], Counter[str]]:
    """Prompts and answers out of rows, and how many rows give none, by reason.

    Parameters
    ----------
    data
        `template`, `answer` (the field of the answer), and if wanted `columns` (field -> column),
        `optional` (field -> what stands for a missing one), `split_by` (a field) and `leaked`.

    Returns
    -------
    The samples, and counts of `missing_field`, `not_text`, `no_answer`, `no_prompt`, `leaked` (the
    answer, of 20 characters or more, stands in its own prompt) and `repeated`: prompt and answer
    were there before. These stay, in the part of the first.

    Raises
    ------
    InputError
        where an answer has leaked and the data set refuses that.
    """
    samples, dropped = [], Counter[str]()
    fields = fields_of(data["template"])
    by, known = data.get("split_by"), set[str]()
    for row in rows:
        found = _texts(row, [*fields, data["answer"], *([by] if by else [])], data)
        if isinstance(found, str):
            dropped[found] += 1
            continue
        prompt, answer = filled(data["template"], found), found[data["answer"]]
        if not prompt.strip():
            dropped["no_prompt"] += 1
            continue
        if _leaks(answer, prompt):
            dropped["leaked"] += 1
            if data["leaked"] != KEEP:
                continue
        whole = f"{prompt}\0{answer}"
        dropped["repeated"] += whole in known
        known.add(whole)
        samples.append(Sample(prompt, answer, found[by] if by else whole))
    dropped = +dropped
    if dropped["leaked"] and data["leaked"] == REFUSE:
        raise InputError(
            f"{dropped['leaked']} answers stand in their own prompts; mend the template or the "
            "data, or say leaked: drop"
        )
    return samples, dropped


def _texts(row: dict[str, Any], names: list[str], data: dict[str, Any]) -> dict[str, str] | str:
    """The fields of a row; or why it cannot be used."""
    values = {name: _value(row, name, data) for name in names}
    if any(value is None for value in values.values()):
        return "missing_field"
    if not all(isinstance(value, str | int | float) for value in values.values()):
        return "not_text"
    texts = {name: str(value) for name, value in values.items()}
    if any(map(HALF.search, texts.values())):
        return "not_text"
    if not texts[data["answer"]].strip():
        return "no_answer"
    free = {*data.get("optional", {}), data.get("split_by")}
    if not all(text.strip() for name, text in texts.items() if name not in free):
        return "no_prompt"
    return texts


def _value(row: dict[str, Any], name: str, data: dict[str, Any]) -> Any:
    """The value of a field in a row, None where it is missing."""
    value = row.get(data.get("columns", {}).get(name, name))
    optional = data.get("optional", {})
    if name in optional and (value is None or value == ""):
        return optional[name]
    return value


def _leaks(answer: str, prompt: str) -> bool:
    folded = " ".join(answer.split()).casefold()
    return len(folded) >= LEAK_CHARACTERS and folded in " ".join(prompt.split()).casefold()


def split(samples: list[Sample], share: float, seed: int, limit: int | None = None) -> Parts:
    """Split samples at random, the same way for the same seed.

    Parameters
    ----------
    share
        of the samples that validate; with groups, whole groups are drawn until they have it.
    limit
        take no more than so many samples, drawn before the split.

    Raises
    ------
    InputError
        where one of the parts would be empty.
    """
    drawn = random.Random(seed).sample(samples, len(samples))[:limit]
    wanted = max(1, round(share * len(drawn)))
    groups = list(dict.fromkeys(sample.group for sample in drawn))
    chosen: set[str] = set()
    if len(groups) > 1:
        sizes = Counter(sample.group for sample in drawn)
        for group in groups:
            if sum(sizes[each] for each in chosen) >= wanted:
                break
            chosen.add(group)
        parts = Parts(
            [sample for sample in drawn if sample.group not in chosen],
            [sample for sample in drawn if sample.group in chosen],
        )
    else:
        parts = Parts(drawn[wanted:], drawn[:wanted])
    if not parts.training or not parts.validation:
        raise InputError(
            f"{len(drawn)} usable samples in {len(groups)} groups cannot be split into training "
            "and validation; expected two at least"
        )
    return parts


def _require_whole_groups(parts: Parts, data: dict[str, Any]) -> None:
    """See that no group both trains and validates: one alone is split as if there were none."""
    shared = {each.group for each in parts.training} & {each.group for each in parts.validation}
    if "split_by" in data and shared:
        raise InputError(
            f"all {sum(map(len, parts))} samples have one value of split_by, {data['split_by']!r}, "
            "and cannot be split into training and validation; expected two values at least, or no "
            "split_by"
        )


def parts_of(data: dict[str, Any], seed: int) -> tuple[Parts, dict[str, int]]:
    """Both parts of the data set that an entry names, and what was left out, by reason.

    Raises
    ------
    InputError
        where the files are gone or are others than the spec's, or give no two samples.
    """
    name = data["file"]["path"]
    content = content_of(Path(ROOT, name))
    if hashlib.sha256(content).hexdigest() != data["file"]["sha256"]:
        raise InputError(f"{name}: it has changed since this job was planned; run snakemake again")
    rows, unread = rows_in(content)
    try:
        samples, unused = samples_of(rows, data)
        parts = split(samples, data["validation"], seed, data.get("limit"))
        _require_whole_groups(parts, data)
    except InputError as error:
        raise InputError(f"{name}: {error}") from None
    return parts, dict(sorted((unread + unused).items()))
