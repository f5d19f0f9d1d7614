"""Prompts that are chosen out of a data set by a YAML file, and frozen into a file of results/.

Where the file lies follows from what the YAML file says. What is in it is the prompts' identity, as
of any file of prompts: who freezes them again and gets the same has the same cells.
"""

from pathlib import Path
from typing import Any

from joulegrid.errors import InputError
from joulegrid.records import ROOT, Spec, identity
from joulegrid.study.validation import check
from joulegrid.study.yaml import read_yaml
from joulegrid.texts.files import decode, parse_prompts

FOLDER = "results/prompts"
COMMAND = "python scripts/freeze_prompts.py"
EXPECTED = (
    'expected a .jsonl file with one {"prompt": "…"} per line, or a YAML file that chooses prompts '
    "out of a data set"
)
SUFFIXES = (".yaml", ".yml")


def choice(name: str) -> dict[str, Any]:
    """What the YAML file `name` chooses, with defaults.

    Raises
    ------
    InputError
        with one line per thing that is wrong.
    """
    data = read_yaml(ROOT / name)
    if not isinstance(data, dict) or not {"hub", "path"} & set(data):
        raise InputError(f"{name}: {EXPECTED}: hub or path, files, column")
    return check("prompts", data, name)


def spec_of(name: str) -> Spec:
    """What determines the prompts that the YAML file `name` chooses; no code is in it: what is
    frozen stays, whatever chose it. Raises as `choice` does.
    """
    return {"kind": "prompts", "prompts": choice(name)}


def place(name: str) -> str:
    """Where the prompts that the YAML file `name` chooses are frozen, relative to the repository.

    Raises
    ------
    InputError
        as `choice` does.
    """
    return f"{FOLDER}/{Path(name).stem}/{identity(spec_of(name))}.jsonl"


def file_of(name: str) -> str:
    """The file of prompts that a study means by `name`: itself, or what it froze.

    Raises
    ------
    InputError
        where nothing is frozen yet; and as `choice` does.
    """
    if Path(name).suffix not in SUFFIXES or not (ROOT / name).is_file():
        return name
    found = place(name)
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
    file = file_of(name)
    return parse_prompts(decode((ROOT / file).read_bytes(), file), file)
