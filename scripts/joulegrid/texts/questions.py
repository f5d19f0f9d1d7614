"""Files of questions with their reference answers, as JSON lines, and the template that makes a
prompt of a line.

A line is one JSON object; its keys are the columns. The template names columns in braces; the
reference column holds a text, or a list of texts of which any is right.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from joulegrid.errors import InputError
from joulegrid.texts.files import FileReference, text_in
from joulegrid.texts.templates import fields_of, filled

# Words that a reference needs for its presence in a prompt to say anything
TELLING = 3
# What becomes of questions whose reference stands in their prompt; left out: they are not asked
KEEP, REFUSE = "keep", "refuse"


@dataclass(frozen=True)
class Question:
    """One line of a file.

    Parameters
    ----------
    line
        its number in the file, from 1.
    prompt
        the template with the columns of the line.
    references
        any of them is right; empty where the file has no such column.
    """

    line: int
    prompt: str
    references: tuple[str, ...]

    @property
    def leaks(self) -> bool:
        """Whether a reference of three words or more stands in the prompt, whatever the case and
        the spaces.
        """
        prompt = f" {_plain(self.prompt)} "
        plain = [_plain(reference) for reference in self.references]
        return any(len(p.split()) >= TELLING and f" {p} " in prompt for p in plain)


def _plain(text: str) -> str:
    """Words alone, in lower case."""
    return " ".join("".join(c if c.isalnum() else " " for c in text.lower()).split())


def questions_in(file: FileReference, entry: Mapping[str, Any]) -> list[Question]:
    """The questions of a file, in its order; see `parse_questions`."""
    return parse_questions(text_in(file), file["path"], entry)


def parse_questions(text: str, name: str, entry: Mapping[str, Any]) -> list[Question]:
    """The questions in the text of a JSONL file called `name`.

    Parameters
    ----------
    entry
        `template`, `reference` (a column), and `limit` if only the first are wanted.

    Raises
    ------
    InputError
        with file and line, where a line is no JSON object, lacks a column, or has an empty one.
    """
    wanted, found = fields_of(entry["template"]), []
    lines = parse_lines(text, name)
    answered = any(entry["reference"] in row for _, row in lines)
    for number, row in lines[: entry.get("limit")]:
        at = f"{name}:{number}"
        for column in [*wanted, *([entry["reference"]] if answered else [])]:
            if column not in row:
                raise InputError(f"{at}: no column {column!r}; it has {', '.join(row)}")
        values = {column: _text(row[column], column, at) for column in wanted}
        prompt, right = filled(entry["template"], values), entry["reference"]
        references = _references(row[right], right, at) if answered else ()
        found.append(Question(number, prompt, references))
    return found


def asked_of(questions: Sequence[Question], policy: str | None) -> list[Question]:
    """The questions that are asked: without those whose prompt holds their reference, which would
    count as right whatever the model knows.

    Parameters
    ----------
    policy
        `KEEP` asks them all the same, `REFUSE` is for data that must have none.

    Raises
    ------
    InputError
        where there are some and the policy refuses them, or no other is left.
    """
    leaking = [question.line for question in questions if question.leaks]
    if not leaking or policy == KEEP:
        return [*questions]
    if policy == REFUSE or len(leaking) == len(questions):
        raise InputError(
            f"{len(leaking)} of {len(questions)} prompts hold their own reference, the first in "
            f"line {leaking[0]}; mend the template or the data, or say leaked: {KEEP}"
        )
    return [question for question in questions if not question.leaks]


def parse_lines(text: str, name: str) -> list[tuple[int, dict[str, Any]]]:
    """Number and content of every line that is not blank.

    Raises
    ------
    InputError
        where one is no JSON object, or there is none.
    """
    found = []
    # not splitlines(): a JSON text may hold U+2028 and the like as they are
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError:
            row = None
        if not isinstance(row, dict):
            raise InputError(
                f'{name}:{number}: expected one JSON object per line, {{"prompt": "…", '
                '"reference": "…"}'
            )
        found.append((number, row))
    if not found:
        raise InputError(f"{name}: the file is empty")
    return found


def _text(value: Any, column: str, at: str) -> str:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str):
        raise InputError(f"{at}: the column {column!r} is not a text")
    if not value.strip():
        raise InputError(f"{at}: the column {column!r} is empty")
    return value


def _references(value: Any, column: str, at: str) -> tuple[str, ...]:
    several: Sequence[Any] = value if isinstance(value, list) else [value]
    if not several:
        raise InputError(f"{at}: the column {column!r} is empty")
    return tuple(_text(each, column, at) for each in several)
