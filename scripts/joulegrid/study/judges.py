"""Tasks of the method arena: whose answers are compared with whose, and what is wrong with such a
task before anybody is asked.

Each check gives lines `key.path: what is wrong; what was expected`.
"""

from collections.abc import Sequence
from typing import Any

from joulegrid.errors import InputError
from joulegrid.judging.arena import check_template
from joulegrid.records import ROOT
from joulegrid.study.grid import CONFIGURATION_AXES, Configuration
from joulegrid.study.methods import ARENA, GENERATION, METHODS
from joulegrid.study.validation import nearest
from joulegrid.texts.files import decode


def opponent(task: dict[str, Any], configuration: Configuration) -> Configuration:
    """The configuration that another one is compared with in a task: its own model, unless the task
    names one.
    """
    return configuration._replace(**task["baseline"])


def endpoint_of(task: dict[str, Any]) -> dict[str, Any]:
    """What a task says of where its judge is asked, which determines no reply."""
    return {k: v for k, v in task["judge"].items() if k in METHODS["quality"][ARENA].running}


def of_tasks(data: dict[str, Any]) -> list[str]:
    """What is wrong with the tasks of the method arena."""
    return [
        f"quality.{label}.{line}"
        for label, task in data["quality"].items()
        if task["method"] == ARENA
        for line in [*_names(data, task), *_judge(task["judge"])]
    ]


def _names(data: dict[str, Any], task: dict[str, Any]) -> list[str]:
    generating = [k for k, each in data["quality"].items() if each["method"] == GENERATION]
    lines = [
        f"baseline.{axis}: no {axis} {label!r}; {nearest(label, data[axis])}"
        for axis, label in task["baseline"].items()
        if label not in data[axis]
    ]
    if task["answers"] not in generating:
        hint = nearest(task["answers"], generating)
        lines.append(f"answers: no task {task['answers']!r} of the method {GENERATION}; {hint}")
    return lines


def _judge(judge: dict[str, Any]) -> list[str]:
    lines = []
    if "budget_usd" in judge and "usd_per_million" not in judge:
        lines.append(
            "judge.usd_per_million: the key is missing; a budget needs the prices of tokens, "
            "{read: 2.5, written: 10} for example"
        )
    path = ROOT / judge["prompt"]
    try:
        if path.is_file():  # one that is not is named where files are resolved
            check_template(decode(path.read_bytes(), judge["prompt"]))
    except InputError as error:
        lines.append(f"judge.prompt: {judge['prompt']}: {error}")
    return lines


def of_grid(data: dict[str, Any], configurations: Sequence[Configuration]) -> list[str]:
    """Baselines that the grid leaves out."""
    lines = []
    for label, task in data["quality"].items():
        if task["method"] != ARENA:
            continue
        for each in dict.fromkeys(opponent(task, c) for c in configurations):
            if each not in configurations:
                named = ", ".join(map(": ".join, zip(CONFIGURATION_AXES, each, strict=True)))
                lines.append(
                    f"quality.{label}.baseline: {named} is excluded from the grid; pick another "
                    "baseline or keep that configuration"
                )
    return lines
