"""Fine-tunings and prunings that are known not to fit the board of their stage before anything is
sent, as cells are (`infeasible`):

    EXACT · bytes that surely lie there at once + boards · CONTEXT > boards · GIB · memory

of the largest board.

What is not known is tried: sizes that nobody compared with the real model, models with experts or
state-space blocks, stages on CPUs or on boards that are not named or not in the table. Merging and
GGUF compute in main memory, GPTQ and AWQ move there what does not fit: none of them is kept back.
What was tried is not kept back either, whatever came of it.

Nothing is imported that takes time: every start asks it.
"""

import os
from collections.abc import Iterator
from functools import cache
from typing import Any

from joulegrid.planning.architecture import Architecture
from joulegrid.planning.devices import GIGA, Device
from joulegrid.planning.memory import CONTEXT, EXACT, GIB, Need, to_prune, to_train
from joulegrid.planning.places import boards_of
from joulegrid.planning.sizes import counted
from joulegrid.study import judges
from joulegrid.study.infeasible import Infeasible, reason
from joulegrid.study.job import Job
from joulegrid.study.methods import ARENA, Weights, method, tasks_of
from joulegrid.study.shelf import place_of
from joulegrid.study.specs import Specs

WHAT = {"training": "fine-tuning", "pruned": "pruning"}


def of_study(specs: Specs, site: dict[str, Any] | None) -> dict[tuple[str, ...], str]:
    """What of a study is not made, by the first labels of all jobs behind it, and why: (model,
    training), (model, training, pruning), and of judgments those of the configuration and the task.

    Parameters
    ----------
    site
        the site file, None without one.
    """
    study = specs.study
    known = {label: _dense(entry) for label, entry in study.data["model"].items()}
    boards = {kind: boards_of(kind, site, study.data["hardware"]) for kind in WHAT}
    if not any(known.values()) or not any(boards.values()):
        return {}
    why_of = cache(
        lambda kind, model, label: _why_not(study.data, kind, known[model], label, boards)
    )
    found: dict[tuple[str, ...], str] = {}
    for labels, kind in _makings(specs):
        why = why_of(kind, labels[0], labels[-1])
        if why and reason(found, labels) is None and not os.path.exists(_place(specs, labels)):
            found[labels] = why
    return {**found, **_judged(specs, found)}


def _dense(entry: dict[str, Any]) -> Architecture | None:
    """The sizes of a model that has decoder blocks of attention and one MLP alone."""
    model = counted(entry)
    return None if model is None or model.experts or model.state_bytes else model


def _makings(specs: Specs) -> Iterator[tuple[tuple[str, ...], str]]:
    """Labels and kind of everything that is trained or pruned, in the order of making."""
    data = specs.study.data
    made = {
        axis: {k for k, entry in data[axis].items() if method(axis, entry).weights == Weights.MADE}
        for axis in ("training", "pruning")
    }
    configurations = specs.study.configurations
    yield from dict.fromkeys(
        (c[:2], "training") for c in configurations if c.training in made["training"]
    )
    yield from dict.fromkeys(
        (c[:3], "pruned") for c in configurations if c.pruning in made["pruning"]
    )


def _place(specs: Specs, labels: tuple[str, ...]) -> str:
    job: Job = specs.training(*labels) if len(labels) == 2 else specs.pruned(*labels)
    return place_of(job)


def _why_not(
    data: dict[str, Any],
    kind: str,
    model: Architecture | None,
    label: str,
    boards: dict[str, tuple[list[Device], int] | None],
) -> str | None:
    """A sentence where the boards of a stage surely do not hold what one entry needs."""
    place = boards[kind]
    if model is None or place is None:
        return None
    if kind == "training":
        need = to_train(model, data["training"][label])
    else:
        need, place = to_prune(model, data["pruning"][label]), (place[0], 1)  # it takes one board
    largest, number = max(place[0], key=lambda board: board.memory), place[1]
    has = largest.memory * GIB * number
    sure = EXACT * need.total + CONTEXT * number * bool(need.total)
    return None if sure <= has else _words(kind, need, largest, number, has)


def _words(kind: str, need: Need, board: Device, number: int, has: float) -> str:
    parts = [f"{name} {value / GIGA:.1f}" for name, value in need._asdict().items() if value]
    boards = board.name if number == 1 else f"{number} × {board.name}"
    return (
        f"{WHAT[kind]} needs {need.total / GIGA:.0f} GB ({', '.join(parts)}), {boards} has "
        f"{has / GIGA:.0f} GB at most"
    )


def _judged(specs: Specs, found: Infeasible) -> dict[tuple[str, ...], str]:
    """Judgments against answers of what is not made."""
    tasks = tasks_of(ARENA, specs.study.data)
    return {
        (*configuration, task): f"its answers are judged against those of {'/'.join(other)}: {why}"
        for configuration in (specs.study.configurations if found else ())
        for task, entry in tasks.items()
        for other in [judges.opponent(entry, configuration)]
        for why in [reason(found, other)]
        if why is not None and reason(found, configuration) is None
    }
