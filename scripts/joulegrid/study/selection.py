"""The selection of a study: the best trained models go on, the second loop is made for those alone.

A trained model is a model with a training. One cell that the study names, its candidate, stands for
it in the ranking. All other cells with its training wait for the selection: they are the second
loop. Everything else is the first loop, and always made.

Each check gives lines `key.path: what is wrong; what was expected`.
"""

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from joulegrid.study.grid import Cell, matching
from joulegrid.study.methods import ARENA, Weights, method, tasks_of
from joulegrid.study.validation import nearest

# Model and training
Trained = tuple[str, str]
FILE = "selection.json"
# How candidates are ranked together
PER_MODEL = "model"


@dataclass(frozen=True)
class Loops:
    """The cells of a study with a selection.

    Parameters
    ----------
    candidates
        the cell that stands for each trained model.
    first
        the cells that are always made, candidates among them.
    second
        the cells that wait for each trained model.
    groups
        the trained models that are ranked together.
    count
        how many of each group go on at most.
    """

    candidates: dict[Trained, Cell]
    first: list[Cell]
    second: dict[Trained, list[Cell]]
    groups: list[list[Trained]]
    count: int

    def cells(self, goes_on: Iterable[Trained]) -> list[Cell]:
        """The first loop, and the second one of what goes on."""
        return [*self.first, *(cell for each in goes_on for cell in self.second[each])]

    def compared(self, baseline: dict[str, str]) -> list[Cell]:
        """The cells that the selection is decided by: candidates and the baselines of their places;
        `baseline` maps axes to labels.
        """
        with_their_baselines = (
            each for cell in self.candidates.values() for each in (cell, cell._replace(**baseline))
        )
        return list(dict.fromkeys(with_their_baselines))

    def most(self, size: Callable[[Trained], Any] | None = None) -> list[Trained]:
        """What goes on where the second loop is as large as it can be: by its cells, or by `size`
        of each trained model; of equal ones the first labels, however a file orders them.
        """
        key = size or (lambda each: len(self.second[each]))
        return [
            each
            for group in self.groups
            for each in sorted(sorted(group), key=key, reverse=True)[: self.count]
        ]


def loops(data: dict[str, Any], cells: Sequence[Cell]) -> Loops | None:
    """The two loops of a valid study whose grid keeps `cells`; None where it selects nothing."""
    if "selection" not in data:
        return None
    candidates = {each: matched[0] for each, matched in _matched(data, cells).items()}
    second: dict[Trained, list[Cell]] = {each: [] for each in candidates}
    first = []
    for cell in cells:
        trained = (cell.model, cell.training)
        if candidates.get(trained, cell) == cell:
            first.append(cell)
        else:
            second[trained].append(cell)
    groups = list(_groups(data["selection"], candidates).values())
    return Loops(candidates, first, second, groups, data["selection"]["count"])


def _matched(data: dict[str, Any], cells: Iterable[Cell]) -> dict[Trained, list[Cell]]:
    """Trained model -> the cells that the study names for it."""
    trained = {label for label, entry in data["training"].items() if _makes_weights(entry)}
    found: dict[Trained, list[Cell]] = {}
    for cell in matching(cells, data["selection"]["candidates"]):
        if cell.training in trained:
            found.setdefault((cell.model, cell.training), []).append(cell)
    return found


def _makes_weights(entry: dict[str, Any]) -> bool:
    return method("training", entry).weights == Weights.MADE


def _groups(asked: dict[str, Any], candidates: Iterable[Trained]) -> dict[str, list[Trained]]:
    """Name -> the trained models that are ranked together."""
    found: dict[str, list[Trained]] = {}
    for each in candidates:
        found.setdefault(each[0] if asked["per"] == PER_MODEL else "", []).append(each)
    return found


def weight_of(data: dict[str, Any]) -> float:
    """The weight of energy with which the candidates of a study are ranked."""
    return data["selection"].get("weight", data["ranking"]["weight"])


def read(path: Path, name: str) -> list[Trained] | None:
    """What goes on, as the selection of the id `name` says; None where the file is none of it."""
    content = content_of(path, name)
    return None if content is None else goes_on(content)


def content_of(path: Path, name: str) -> dict[str, Any] | None:
    """All that the selection of the id `name` says; None where the file is none of it."""
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) and content.get("id") == name else None


def goes_on(content: dict[str, Any]) -> list[Trained]:
    """The trained models that go on in what a selection says."""
    return [(each["model"], each["training"]) for each in content["candidates"] if each["goes_on"]]


def of_names(data: dict[str, Any]) -> list[str]:
    """Labels of the rules that are none, and a ranking without anything to rank by."""
    if "selection" not in data:
        return []
    lines = [
        f"selection.candidates.{position}.{axis}: no {axis} {label!r}; {nearest(label, data[axis])}"
        for position, rule in enumerate(data["selection"]["candidates"])
        for axis, labels in rule.items()
        for label in ([labels] if isinstance(labels, str) else labels)
        if label not in data[axis]
    ]
    for position, rule in enumerate(data["selection"]["candidates"]):
        named = rule.get("training", [])
        lines += [
            f"selection.candidates.{position}.training: {label} trains nothing; expected a "
            "training that makes weights"
            for label in ([named] if isinstance(named, str) else named)
            if label in data["training"] and not _makes_weights(data["training"][label])
        ]
    return lines


def of_grid(data: dict[str, Any], cells: Sequence[Cell]) -> list[str]:
    """What is wrong with a selection on the cells that the grid leaves."""
    if "selection" not in data:
        return []
    if weight_of(data) < 1 and not data["ranking"]["metrics"]:
        return [
            "selection: no metric of the study counts in the ranking; name one in "
            "ranking.metrics, or rank by energy alone with weight: 1"
        ]
    matched = _matched(data, cells)
    if not matched:
        return [
            "selection.candidates: no cell of the grid with a training matches; loosen a rule, or "
            "keep such a cell in the grid"
        ]
    lines = [
        f"selection.candidates: {_named(each)} is matched by {len(found)} cells, "
        f"{_shown(found[0])} and {_shown(found[1])} among them; name more axes, one cell stands "
        "for each trained model"
        for each, found in matched.items()
        if len(found) > 1
    ]
    return lines or [*_counts(data["selection"], matched), *_baselines(data, cells)]


def _counts(asked: dict[str, Any], candidates: Iterable[Trained]) -> list[str]:
    """More than there are."""
    return [
        f"selection.count: got {asked['count']}; {name or 'the study'} has {len(group)} candidate"
        f"{'s' if len(group) > 1 else ''}"
        for name, group in _groups(asked, candidates).items()
        if asked["count"] > len(group)
    ]


def _baselines(data: dict[str, Any], cells: Sequence[Cell]) -> list[str]:
    """A second loop of nothing, and baselines that it would have to be made for first."""
    found = loops(data, cells)
    assert found is not None
    waiting = {cell for each in found.second.values() for cell in each}
    if not waiting:
        return [
            "selection: no cell of the grid waits for it; expected cells with the trainings of the "
            "candidates that are no candidates themselves"
        ]
    lines, first = [], set(found.first)
    for cell in found.candidates.values():
        base = cell._replace(**data["ranking"]["baseline"])
        if base not in first:
            why = "waits for the selection" if base in waiting else "is not in the grid"
            lines.append(
                f"selection.candidates: {_shown(cell)} is compared with {_shown(base)}, which "
                f"{why}; pick another ranking.baseline or keep that cell"
            )
    configurations = {cell.configuration for cell in first}
    for label, task in tasks_of(ARENA, data).items():
        if any(
            cell.configuration._replace(**task["baseline"]) not in configurations for cell in cells
        ):
            lines.append(
                f"quality.{label}.baseline: it waits for the selection; pick a baseline that is "
                "always made"
            )
    return list(dict.fromkeys(lines))


def _named(trained: Trained) -> str:
    return " of ".join(reversed(trained))


def _shown(cell: Cell) -> str:
    return "/".join(cell)
