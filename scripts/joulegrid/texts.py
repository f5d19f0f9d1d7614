"""Files of text that studies name: plain texts, and prompts as JSON lines."""

import json
from pathlib import Path

from joulegrid.records import ROOT, InputError


def prompts_of(name: str) -> list[str]:
    """The prompts of a JSONL file with one {"prompt": text} per line.

    Raises InputError with file and line, where a line is something else.
    """
    found = []
    for number, line in enumerate(_read(name).splitlines(), start=1):
        if not line.strip():
            continue
        try:
            prompt = json.loads(line)["prompt"]
        except (ValueError, KeyError, TypeError):
            raise InputError(f'{name}:{number}: expected one JSON object per line, {{"prompt": "…"}}') from None
        if not isinstance(prompt, str) or not prompt.strip():
            raise InputError(f"{name}:{number}: the prompt is not a text")
        found.append(prompt)
    return found


def text_of(name: str) -> str:
    """The whole text of a file; of a .jsonl file its prompts, one after the other."""
    if name.endswith(".jsonl"):
        return "\n\n".join(prompts_of(name))
    return _read(name)


def _read(name: str) -> str:
    try:
        return Path(ROOT, name).read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"{name}: not a text in UTF-8 (byte {error.start}); convert it") from None
