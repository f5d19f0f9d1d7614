"""Prompts of workloads, and rows of trainings, that are chosen out of a data set by a YAML file and
frozen into a file of results/.

Where the file lies follows from what the YAML file says. What is in it is its identity, as of any
file: who freezes again and gets the same has the same cells, and the same trainings.
"""

from pathlib import Path
from typing import Any

from joulegrid.errors import InputError
from joulegrid.records import ROOT, Spec, identity
from joulegrid.study.validation import check
from joulegrid.study.yaml import read_yaml
from joulegrid.texts.files import decode, parse_prompts

PROMPTS, ROWS = "prompts", "rows"
FOLDERS = {PROMPTS: "results/prompts", ROWS: "results/rows"}
COMMAND = "python scripts/freeze_prompts.py"
EXPECTED = {
    PROMPTS: 'expected a .jsonl file with one {"prompt": "…"} per line, or a YAML file that '
    "chooses prompts out of a data set",
    ROWS: "expected a .jsonl file with one JSON object per line, a folder of such, or a YAML file "
    "that chooses rows out of a data set",
}
KEYS = {PROMPTS: "column", ROWS: "columns"}
SUFFIXES = (".yaml", ".yml")


def kind_of(name: str) -> str:
    """Whether the YAML file `name` chooses prompts or rows."""
    data = read_yaml(ROOT / name)
    return ROWS if isinstance(data, dict) and KEYS[ROWS] in data else PROMPTS


def choice(name: str, kind: str) -> dict[str, Any]:
    """What the YAML file `name` chooses, with defaults.

    Raises
    ------
    InputError
        with one line per thing that is wrong.
    """
    data = read_yaml(ROOT / name)
    if not isinstance(data, dict) or not {"hub", "path"} & set(data):
        raise InputError(f"{name}: {EXPECTED[kind]}: hub or path, files, {KEYS[kind]}")
    return check(kind, data, name)


def spec_of(name: str, kind: str) -> Spec:
    """What determines what the YAML file `name` chooses; no code is in it: what is frozen stays,
    whatever chose it. Raises as `choice` does.
    """
    return {"kind": kind, kind: choice(name, kind)}


def place(name: str, kind: str) -> str:
    """Where what the YAML file `name` chooses is frozen, relative to the repository.

    Raises
    ------
    InputError
        as `choice` does.
    """
    return f"{FOLDERS[kind]}/{Path(name).stem}/{identity(spec_of(name, kind))}.jsonl"


def file_of(name: str, kind: str) -> str:
    """The file that a study means by `name`: itself, or what it froze.

    Raises
    ------
    InputError
        where nothing is frozen yet; and as `choice` does.
    """
    if Path(name).suffix not in SUFFIXES or not (ROOT / name).is_file():
        return name
    found = place(name, kind)
    if not (ROOT / found).is_file():
        raise InputError(f"{name}: what it chooses is not frozen yet; run: {COMMAND} {name}")
    return found


def prompts_in(name: str) -> list[str]:
    """The prompts that a study means by `name`.

    Raises
    ------
    InputError
        as `file_of` does, and where the file holds something else.
    OSError
        where it cannot be read.
    """
    file = file_of(name, PROMPTS)
    return parse_prompts(decode((ROOT / file).read_bytes(), file), file)
