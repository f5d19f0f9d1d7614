"""Traces: instants at which requests arrive, in a CSV file that a study names.

Its first line names the columns: `arrival_s`, seconds after the start, in order; where wanted
`prompt` (the text), `prompt_tokens` (exactly how many tokens the prompt shall be, all that the
model reads included) and `new_tokens` (how many are generated at most). An empty field says
nothing.
"""

import csv
import io
import math
from dataclasses import dataclass
from typing import Any

from joulegrid.errors import InputError
from joulegrid.texts.files import FileReference, text_in

ARRIVAL, PROMPT = "arrival_s", "prompt"
COUNTS = ("prompt_tokens", "new_tokens")
COLUMNS = (ARRIVAL, PROMPT, *COUNTS)


@dataclass(frozen=True)
class Arrival:
    """One line of a trace; None where it does not say."""

    arrival_s: float
    prompt: str | None = None
    prompt_tokens: int | None = None
    new_tokens: int | None = None


def trace_of(file: FileReference) -> list[Arrival]:
    """The lines of a trace.

    Raises
    ------
    InputError
        with file and line, where one is none, or earlier than the one before.
    """
    return parse_trace(text_in(file), file["path"])


def parse_trace(text: str, name: str) -> list[Arrival]:
    """The lines of a trace called `name` that holds `text`; see `trace_of`."""
    rows = csv.DictReader(io.StringIO(text, newline=""))
    columns = [str(column).strip() for column in rows.fieldnames or ()]
    rows.fieldnames = columns
    unknown = sorted(set(columns) - set(COLUMNS))
    if ARRIVAL not in columns or unknown:
        raise InputError(
            f"{name}:1: expected the column {ARRIVAL} and none but {', '.join(COLUMNS[1:])}; "
            f"{'got ' + ', '.join(columns) if columns else 'it is empty'}"
        )
    found: list[Arrival] = []
    for row in rows:
        arrival = _arrival(row, f"{name}:{rows.line_num}")
        if found and arrival.arrival_s < found[-1].arrival_s:
            raise InputError(
                f"{name}:{rows.line_num}: arrives at {arrival.arrival_s:g} s, before the line "
                f"above, at {found[-1].arrival_s:g} s; sort the file"
            )
        found.append(arrival)
    if not found:
        raise InputError(f"{name}: holds no arrival")
    return found


def _arrival(row: dict[str, Any], where: str) -> Arrival:
    if None in row or None in row.values():
        raise InputError(f"{where}: has another number of fields than the first line")
    given = {key: value.strip() for key, value in row.items()}
    try:
        arrival_s = float(given[ARRIVAL])
    except ValueError:
        arrival_s = -1.0
    if not (math.isfinite(arrival_s) and arrival_s >= 0):
        raise InputError(f"{where}: {ARRIVAL} is {row[ARRIVAL]!r}; expected seconds, 0 or more")
    counts = {key: _count(key, given[key], where) for key in COUNTS if given.get(key)}
    return Arrival(arrival_s, row.get(PROMPT) if given.get(PROMPT) else None, **counts)


def _count(key: str, value: str, where: str) -> int:
    if not value.isascii() or not value.isdigit() or int(value) < 1:
        raise InputError(f"{where}: {key} is {value!r}; expected a number of tokens, 1 or more")
    return int(value)
