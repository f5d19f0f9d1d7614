"""How long the longest job of a stage takes, which a site file names: what Slurm is asked for where
the file leaves it out. It imports nothing that takes time.
"""

from collections.abc import Iterator
from typing import Any

from joulegrid.errors import InputError
from joulegrid.planning import effort
from joulegrid.planning.architecture import Architecture
from joulegrid.planning.effort import Sizes
from joulegrid.planning.places import STAGES, place_of
from joulegrid.study.methods import ARENA, GENERATION, Weights, method

KIND_OF = {stage: kind for kind, stage in STAGES.items()}


def longest_s(
    data: dict[str, Any], stage: str, model: Architecture, site: dict[str, Any] | None
) -> float | None:
    """Seconds by default of a stage's longest job with a model; None where one of them, or the
    board that it runs on, is not known.

    Parameters
    ----------
    data
        a study.
    stage
        such as quantize_weights.
    site
        the site file.
    """
    place = place_of(KIND_OF[stage], site, data["hardware"])
    if place is None:
        return None
    try:
        found = list(_seconds(data, stage, Sizes(model, place)))
    except (OSError, InputError):  # data that are not there are named where jobs ask for them
        return None
    known = [seconds for seconds in found if seconds is not None]
    return max(known, default=0.0) if len(known) == len(found) else None


def _seconds(data: dict[str, Any], stage: str, sizes: Sizes) -> Iterator[float | None]:
    """Of each entry that the stage has a job for."""
    if stage == "train_model":
        for entry in _made(data, "training"):
            yield effort.training(entry, entry["epochs"], sizes)
    elif stage == "merge_training":
        yield effort.merging(sizes)
    elif stage == "prune_weights":
        yield from (effort.pruning(entry, sizes) for entry in _made(data, "pruning"))
    elif stage == "quantize_weights":
        yield from (effort.quantizing(entry, sizes) for entry in _made(data, "quantization"))
    elif stage == "score_texts":
        yield from (effort.scoring(task) for task in _tasks(data, GENERATION))
    else:
        for entry in data["quantization"].values():
            loaded = effort.evaluated_in(entry, sizes)
            yield from (_evaluated(task, loaded) for task in data["quality"].values())


def _evaluated(task: dict[str, Any], sizes: Sizes) -> float | None:
    if task["method"] == ARENA:  # an endpoint answers
        return 0.0
    known = effort.answering if task["method"] == GENERATION else effort.evaluating
    return known(task, sizes)


def _tasks(data: dict[str, Any], name: str) -> list[dict[str, Any]]:
    return [task for task in data["quality"].values() if task["method"] == name]


def _made(data: dict[str, Any], axis: str) -> list[dict[str, Any]]:
    """Entries by which weights are made."""
    return [entry for entry in data[axis].values() if method(axis, entry).weights == Weights.MADE]
