"""Files of text that studies name: plain texts, and prompts as JSON lines.

A spec names a file as `{"path": …, "sha256": …}`. The hash is the file's identity; where the file
was changed since the spec was made, reading it is an error.
"""

import hashlib
import json
from pathlib import Path

from joulegrid.errors import InputError
from joulegrid.records import ROOT

FileReference = dict[str, str]
WANTED = 'expected one JSON object per line, {"prompt": "…"}'


def prompts_of(file: FileReference) -> list[str]:
    """The prompts of a JSONL file with one {"prompt": text} per line.

    Raises
    ------
    InputError
        with file and line, where a line is something else.
    """
    return parse_prompts(text_in(file), file["path"])


def parse_prompts(text: str, name: str) -> list[str]:
    """The prompts in the text of a JSONL file called `name`; see `prompts_of`."""
    # texts in JSON may hold line separators of Unicode, at which splitlines would cut
    lines = enumerate(text.split("\n"), start=1)
    return [_prompt_in(line, f"{name}:{number}") for number, line in lines if line.strip()]


def _prompt_in(line: str, where: str) -> str:
    try:
        row = json.loads(line)
    except ValueError as error:
        raise InputError(f"{where}: not JSON ({error}); {WANTED}") from None
    if not isinstance(row, dict):
        raise InputError(f"{where}: got a {type(row).__name__}; {WANTED}")
    if "prompt" not in row:
        raise InputError(f"{where}: no key 'prompt', keys: {', '.join(row) or 'none'}; {WANTED}")
    prompt = row["prompt"]
    if not isinstance(prompt, str):
        raise InputError(f"{where}: the prompt is a {type(prompt).__name__}, not a text")
    if not prompt.strip():
        raise InputError(f"{where}: the prompt is empty; give it a text, or take the line out")
    return prompt


def text_of(file: FileReference) -> str:
    """The whole text of a file; of a .jsonl file its prompts, one after the other."""
    return parse_text(text_in(file), file["path"])


def parse_text(text: str, name: str) -> str:
    """What `text_of` gives for a file called `name` that holds `text`."""
    return "\n\n".join(parse_prompts(text, name)) if name.endswith(".jsonl") else text


def text_in(file: FileReference) -> str:
    """The content of a file.

    Raises
    ------
    InputError
        where the file is gone, is not UTF-8, or is another than the spec's.
    """
    name = file["path"]
    try:
        content = Path(ROOT, name).read_bytes()
    except OSError as error:
        raise InputError(f"{name}: cannot be read ({error.strerror})") from None
    if hashlib.sha256(content).hexdigest() != file.get(
        "sha256", hashlib.sha256(content).hexdigest()
    ):
        raise InputError(
            f"{name}: the file has changed since this job was planned; run snakemake again"
        )
    return decode(content, name)


def decode(content: bytes, name: str) -> str:
    """`content` as text.

    Raises
    ------
    InputError
        where it is not UTF-8 or holds NUL bytes, as an image or an archive does.
    """
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(
            f"{name}: not a text in UTF-8 (byte {error.start}, in line "
            f"{content.count(10, 0, error.start) + 1}); convert it"
        ) from None
    if "\x00" in text:
        raise InputError(f"{name}: not a text (it holds NUL bytes)")
    return text
