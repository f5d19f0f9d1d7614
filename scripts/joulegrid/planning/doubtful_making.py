"""Weights that are expected not to fit the board of their stage while they are made. Their jobs are
sent all the same: what is known not to fit, and kept back, is `infeasible_making`.
"""

from collections.abc import Callable, Iterable
from functools import cache
from typing import Any

from joulegrid.errors import InputError
from joulegrid.planning import memory
from joulegrid.planning.architecture import Architecture
from joulegrid.planning.effort import samples_of_training
from joulegrid.planning.feasibility import too_large
from joulegrid.planning.memory import USABLE, Need
from joulegrid.planning.places import boards_of
from joulegrid.study.job import Job
from joulegrid.study.study import Study

WHAT = {"training": "fine-tuning", "weights": "quantizing"}
CALIBRATED = ("gptq", "awq")


def of_jobs(
    study: Study,
    jobs: Iterable[Job],
    site: dict[str, Any] | None,
    model_of: Callable[[str], Architecture | None],
) -> dict[str, str]:
    """Path of a job -> why it is expected to run out of memory.

    Parameters
    ----------
    site
        the site file, which says on which boards jobs run; None without one.
    model_of
        the sizes of a model by its label, None where they are not known.
    """
    boards = {kind: boards_of(kind, site, study.data["hardware"]) for kind in WHAT}
    need_of = cache(lambda *labels: _need(study.data, model_of, *labels))
    found = {}
    for job in jobs:
        place = boards.get(job.kind)
        need = need_of(job.kind, job.labels[0], job.labels[-1]) if place else None
        if place is None or need is None:
            continue
        largest = max(place[0], key=lambda board: board.memory)
        number = place[1] if job.kind == "training" else 1  # the others take one board
        why = too_large(need, largest, number, USABLE)
        if why:
            found[job.path] = f"{WHAT[job.kind]} {why}"
    return found


def _need(
    data: dict[str, Any],
    model_of: Callable[[str], Architecture | None],
    kind: str,
    name: str,
    label: str,
) -> Need | None:
    """Of a model and an entry; None where that is not known."""
    model = model_of(name)
    if model is None or model.experts or model.state_bytes:
        return None
    if kind == "weights":
        entry = data["quantization"][label]
        return memory.to_quantize(model, entry) if entry["method"] in CALIBRATED else None
    entry = data["training"][label]
    try:
        rows, tokens = samples_of_training(entry)
    except (OSError, InputError):  # data that are not there are named where jobs ask for them
        return None
    return memory.likely_to_train(model, entry, min(entry["batch_size"], rows) * tokens)
