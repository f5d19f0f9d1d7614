"""Prompts that hold what a model wrote about their question before: guided prompts.

Wetzel, Green Tech or Digital Polluter? (TU Berlin 2024): background, plan and tips, generated. The
standard library alone.
"""

import json
from collections.abc import Mapping

from joulegrid.texts.questions import parse_lines

# The field of a template for the guide's text
FIELD = "guide"
# What stands there where the guide wrote nothing, or its own prompt was too long
NOTHING = "-"


def guided(text: str, name: str, guides: Mapping[int, str]) -> str:
    """The lines of the JSONL file called `name` that holds `text`, at their places, each with the
    guide's text in the column `FIELD`.

    Parameters
    ----------
    guides
        number of a line -> what the guide wrote about it.

    Raises
    ------
    InputError
        where a line is no JSON object, or there is none.
    """
    rows = dict(parse_lines(text, name))
    lines = ["" for _ in range(max(rows))]
    for number, row in rows.items():
        own = {**row, FIELD: guide_of(guides, number) or NOTHING}
        lines[number - 1] = json.dumps(own, ensure_ascii=False)
    return "\n".join(lines)


def guide_of(guides: Mapping[int, str], line: int) -> str:
    """What the guide wrote about a line, without spaces around it; empty where that is nothing."""
    return guides.get(line, "").strip()
