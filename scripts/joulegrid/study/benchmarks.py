"""Ready-made groups of quality tasks, by name: what publications evaluated.

A group is a file in config/benchmarks/. In a study it stands for its tasks, each a quality task as
if it were written there, called LABEL-TASK.
"""

from typing import Any

from joulegrid.errors import InputError
from joulegrid.records import ROOT
from joulegrid.study.validation import nearest
from joulegrid.study.yaml import read_yaml

FOLDER = "config/benchmarks"
# What an entry may say for all of its tasks, and for each by its name in the group
KEYS = ("limit", "batch_size", "fewshot", "folder")
PINS = "sha256"


def expand(data: dict[str, Any], source: str) -> dict[str, Any]:
    """The study with the tasks of its `benchmarks` among those of `quality`.

    Parameters
    ----------
    data
        a study as it was read, whose `benchmarks` are not checked yet.

    Raises
    ------
    InputError
        where there is no such group, an entry is none, or a task of it has the label of another.
    """
    entries = data.get("benchmarks", {})
    if not isinstance(entries, dict):
        raise InputError(f"{source}: benchmarks: expected a mapping, LABEL: {{group: NAME}}")
    rest = {key: value for key, value in data.items() if key != "benchmarks"}
    tasks = dict(rest["quality"]) if isinstance(rest.get("quality"), dict) else {}
    for label, entry in entries.items():
        for name, task in _tasks(entry, f"{source}: benchmarks.{label}").items():
            if f"{label}-{name}" in tasks:
                raise InputError(
                    f"{source}: benchmarks.{label}: quality has a task {label}-{name} already; "
                    "give one of them another label"
                )
            tasks[f"{label}-{name}"] = task
    return {**rest, "quality": tasks} if entries else rest


def _tasks(entry: Any, at: str) -> dict[str, dict[str, Any]]:
    """The tasks of a group, with what the entry says of all of them."""
    if not isinstance(entry, dict) or "group" not in entry:
        raise InputError(f"{at}: expected a mapping with the key group, such as {{group: NAME}}")
    own = {key: value for key, value in entry.items() if key not in ("group", PINS)}
    wrong = [key for key in own if key not in KEYS]
    if wrong:
        known = ("group", *KEYS, PINS)
        raise InputError(f"{at}.{wrong[0]}: unknown key; {nearest(wrong[0], known)}")
    groups = {path.stem: path for path in sorted((ROOT / FOLDER).glob("*.yaml"))}
    if entry["group"] not in groups:
        raise InputError(
            f"{at}.group: no group {entry['group']!r}; {nearest(entry['group'], groups)}"
        )
    tasks = read_yaml(groups[entry["group"]])["tasks"]
    pins = entry.get(PINS, {})
    if not isinstance(pins, dict):
        raise InputError(f"{at}.{PINS}: expected a mapping, TASK: DIGEST")
    if unknown := [name for name in pins if name not in tasks]:
        raise InputError(
            f"{at}.{PINS}.{unknown[0]}: the group has no such task; {nearest(unknown[0], tasks)}"
        )
    return {
        name: {"method": "lm-eval", **task, **own} | ({PINS: pins[name]} if name in pins else {})
        for name, task in tasks.items()
    }
