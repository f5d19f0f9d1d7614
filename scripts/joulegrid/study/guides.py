"""Tasks whose prompts hold what a model of the study wrote about the question before: whose texts
these are, and what is wrong with such a task before anything is sent.

Each check gives lines `key.path: what is wrong; what was expected`.
"""

from collections.abc import Sequence
from typing import Any

from joulegrid.study.grid import Configuration, left_out
from joulegrid.study.methods import GENERATION, tasks_of
from joulegrid.study.validation import nearest
from joulegrid.texts.guided import FIELD

# What computes such answers, beside what computes all
CALLS = ("joulegrid.quality.guiding:answer_guided",)
# The keys of a guide that name no axis
ANSWERS = "answers"


def of(task: dict[str, Any], configuration: Configuration) -> tuple[Configuration, str] | None:
    """The configuration whose answers stand in the prompts of another one, its own model's unless
    the task names one, and the task that they are of; None where the task has no guide.
    """
    guide = task.get(FIELD)
    if guide is None:
        return None
    axes = {axis: label for axis, label in guide.items() if axis != ANSWERS}
    return configuration._replace(**axes), guide[ANSWERS]


def of_tasks(data: dict[str, Any]) -> list[str]:
    """What is wrong with the guides of tasks."""
    tasks = tasks_of(GENERATION, data)
    return [
        f"quality.{label}.{FIELD}.{line}"
        for label, task in tasks.items()
        if FIELD in task
        for line in [*_axes(data, task[FIELD]), *_answers(tasks, task)]
    ]


def _axes(data: dict[str, Any], guide: dict[str, Any]) -> list[str]:
    return [
        f"{axis}: no {axis} {label!r}; {nearest(label, data[axis])}"
        for axis, label in guide.items()
        if axis != ANSWERS and label not in data[axis]
    ]


def _answers(tasks: dict[str, dict[str, Any]], task: dict[str, Any]) -> list[str]:
    name = task[FIELD][ANSWERS]
    if name not in tasks:
        hint = nearest(name, tasks)
        return [f"{ANSWERS}: no task {name!r} of the method {GENERATION}; {hint}"]
    writing, lines = tasks[name], []
    if FIELD in writing:
        lines.append(f"{ANSWERS}: {name} has a guide itself; name a task without one")
    if writing["data"] != task["data"]:
        lines.append(
            f"{ANSWERS}: {name} is about {writing['data']}, this task about {task['data']}; both "
            "must name the same data"
        )
    most = writing.get("limit")
    if most is not None and task.get("limit", most + 1) > most:
        lines.append(
            f"{ANSWERS}: {name} has only the first {most} questions (limit); this task must have "
            "no more of them"
        )
    return lines


def of_grid(data: dict[str, Any], configurations: Sequence[Configuration]) -> list[str]:
    """Guides that the grid leaves out."""
    lines = []
    for label, task in data["quality"].items():
        found = [of(task, configuration) for configuration in configurations]
        wanted = [guide[0] for guide in found if guide is not None]
        lines += left_out(f"quality.{label}.{FIELD}", "guide", wanted, configurations)
    return lines
