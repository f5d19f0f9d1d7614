"""Templates of prompts: texts with the names of fields in braces, such as `Question: {question}`.

Importable in every environment: the standard library only.
"""

import math
import re
import string
from collections.abc import Mapping
from typing import Any

from joulegrid.errors import InputError

# Half a character, which JSON can name ("\ud83d") and UTF-8 cannot hold
HALF = re.compile("[\ud800-\udfff]")


def fields_of(template: str) -> list[str]:
    """The fields that a template names.

    Raises
    ------
    InputError
        where it names none, or holds anything else in braces.
    """
    try:
        parts = list(string.Formatter().parse(template))
    except ValueError as error:
        raise InputError(f"{error}; a brace that is meant as such is written twice") from None
    fields = [field for _, field, _, _ in parts if field is not None]
    wrong = [field for field in fields if not field or set(field) & set(".[]")]
    if wrong or any(form or convert for _, _, form, convert in parts):
        raise InputError("expected names of fields in braces, such as {question}, and no more")
    if not fields:
        raise InputError(
            "it names no field: all prompts would be the same; write one in braces, such as "
            "{question}"
        )
    return list(dict.fromkeys(fields))


def filled(template: str, values: Mapping[str, str]) -> str:
    """A template with its fields replaced; what the values hold is never read as a template."""
    return "".join(
        text + (values[field] if field is not None else "")
        for text, field, _, _ in string.Formatter().parse(template)
    )


def is_no_number(value: Any) -> bool:
    """Whether a value, or one in a list, is NaN or infinite: JSON has no word for it, Python's
    reader takes it all the same, and a template would spell it out as `nan`.
    """
    if isinstance(value, list):
        return any(map(is_no_number, value))
    return isinstance(value, float) and not math.isfinite(value)
