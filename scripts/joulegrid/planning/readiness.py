"""When the weights of sessions are there: what is made before one can begin, one after another."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from joulegrid.planning.making import Effort
from joulegrid.planning.places import MAKING
from joulegrid.planning.ranges import Range, together
from joulegrid.study import trainings
from joulegrid.study.grid import Cell


def of_cells(
    data: Mapping[str, Any], to_run: Iterable[str], made: Mapping[str, Effort]
) -> Callable[[Cell], Range]:
    """Cell -> hours until a session of it can begin, if all that its weights are made from begins
    as soon as it can: of each kind of job as long as the longest takes.

    What is not predicted, as fetching a model, counts as nothing; and so does waiting in a queue.

    Parameters
    ----------
    data
        a study.
    to_run
        paths of the records that a run would make.
    made
        kind of job -> what its jobs take.
    """
    waiting: dict[tuple[str, ...], list[str]] = {}
    for path in to_run:
        kind, *labels, _ = path.split("/")
        if kind in MAKING:
            waiting.setdefault(tuple(labels), []).append(kind)

    def hours(cell: Cell) -> Range:
        label: str | None = cell.training
        kinds = [kind for n in range(1, 5) for kind in waiting.get(tuple(cell[:n]), ())]
        while (label := trainings.shorter(data["training"], str(label))) is not None:
            kinds += [kind for kind in waiting.get((cell.model, label), ()) if kind == "training"]
        return together(made[kind].longest_h for kind in kinds if kind in made)

    return hours
