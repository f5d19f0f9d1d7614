"""Tasks of the method arena: whose answers are compared with whose, and what is wrong with such a
task before anybody is asked.

Each check gives lines `key.path: what is wrong; what was expected`.
"""

from collections.abc import Sequence
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from joulegrid.errors import InputError
from joulegrid.judging.arena import check_template
from joulegrid.records import ROOT
from joulegrid.study.grid import Configuration, left_out
from joulegrid.study.methods import ARENA, GENERATION, METHODS, tasks_of
from joulegrid.study.validation import nearest
from joulegrid.texts.files import decode
from joulegrid.texts.guided import FIELD


def opponent(task: dict[str, Any], configuration: Configuration) -> Configuration:
    """The configuration that another one is compared with in a task: its own model, unless the task
    names one.
    """
    return configuration._replace(**task["baseline"])


def is_baseline(task: dict[str, Any], configuration: Configuration) -> bool:
    """Whether the answers of a configuration are those that the others are compared with."""
    return against(task) == task["answers"] and opponent(task, configuration) == configuration


def against(task: dict[str, Any]) -> str:
    """The task whose answers are the baseline's."""
    return str(task.get("against", task["answers"]))


def endpoint_of(task: dict[str, Any]) -> dict[str, Any]:
    """What a task says of where its judge is asked, which determines no reply."""
    running = METHODS["quality"][ARENA].running
    told = {key: value for key, value in task["judge"].items() if key in running}
    return {**told, "local": is_local(task["judge"])}


def is_local(judge: dict[str, Any]) -> bool:
    """Whether a judge computes on the machine that asks it, so that its energy can be metered: as
    the study says, or else where its address is one of the machine itself.
    """
    host = urlsplit(judge["endpoint"]).hostname or ""
    try:
        loopback = host == "localhost" or ip_address(host).is_loopback
    except ValueError:  # a name
        loopback = False
    return bool(judge.get("local", loopback))


def of_tasks(data: dict[str, Any]) -> list[str]:
    """What is wrong with the tasks of the method arena."""
    return [
        f"quality.{label}.{line}"
        for label, task in tasks_of(ARENA, data).items()
        for line in [*_names(data, task), *_judge(task["judge"])]
    ]


def _names(data: dict[str, Any], task: dict[str, Any]) -> list[str]:
    generating = tasks_of(GENERATION, data)
    lines = [
        f"baseline.{axis}: no {axis} {label!r}; {nearest(label, data[axis])}"
        for axis, label in task["baseline"].items()
        if label not in data[axis]
    ]
    named = {key: task[key] for key in ("answers", "against") if key in task}
    unknown = [key for key, label in named.items() if label not in generating]
    for key in unknown:
        hint = nearest(task[key], generating)
        lines.append(f"{key}: no task {task[key]!r} of the method {GENERATION}; {hint}")
    return lines if unknown else [*lines, *_against(generating, task)]


def _against(tasks: dict[str, dict[str, Any]], task: dict[str, Any]) -> list[str]:
    """What is wrong with the task of the baseline's answers, whose prompts the judge is shown."""
    own, other = tasks[task["answers"]], tasks[against(task)]
    if FIELD in other:
        return [
            f"against: prompts of {against(task)} hold a guide's text, which a judge shall not "
            "see; name a task without a guide"
        ]
    if own["data"] != other["data"]:
        return [
            f"against: {against(task)} is about {other['data']}, {task['answers']} about "
            f"{own['data']}; both must name the same data"
        ]
    return []


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
    for label, task in tasks_of(ARENA, data).items():
        wanted = [opponent(task, configuration) for configuration in configurations]
        lines += left_out(f"quality.{label}.baseline", "baseline", wanted, configurations)
    return lines
