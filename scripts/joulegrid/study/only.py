"""A part of a study's grid: what `--config only=…` plans, shows and measures.

It is no part of a study and in no spec: the cells of a part are those of the whole study, with
their ids. The study is checked as a whole, so that a part needs no baseline; nothing is concluded
from it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from joulegrid.errors import InputError
from joulegrid.study import trainings
from joulegrid.study.grid import CELL_AXES, Cell, matching
from joulegrid.study.study import Study
from joulegrid.study.validation import nearest

KEY = "only"
EXPECTED = 'expected labels of axes, as in only="model=llama-7b quantization=nf4,int8"'

Rule = dict[str, list[str]]


@dataclass(frozen=True)
class Part:
    """Some cells of a study.

    Parameters
    ----------
    words
        what was asked for, as it is typed.
    cells
        those of the grid that match.
    """

    words: str
    cells: frozenset[Cell]


def part_of(study: Study, asked: Any) -> Part:
    """The part of a study that somebody asks for.

    Parameters
    ----------
    asked
        `axis=label,label axis=label`, or a mapping of axes to a label or a list of labels. A cell
        is in the part where all axes match. The label of a training with several numbers of epochs
        means all of them.

    Raises
    ------
    InputError
        where something is no axis or label, or no cell of the grid matches; a line for each thing.
    """
    asked = _mapping(asked)
    wrong = [line for axis, labels in asked.items() for line in _problems(study, axis, labels)]
    if wrong:
        raise InputError("\n".join(f"--config: {KEY}{line}" for line in wrong))
    rule = {axis: _expanded(study, axis, labels) for axis, labels in asked.items()}
    words = " ".join(f"{axis}={','.join(labels)}" for axis, labels in asked.items())
    cells = frozenset(matching(study.cells, [rule]))
    if not cells:
        raise InputError(
            f"--config: {KEY}: no cell of the grid matches {words}; {_hint(study, rule)}"
        )
    return Part(words, cells)


def within(part: Part | None, cells: Iterable[Cell]) -> list[Cell]:
    """Those of some cells that are in a part; all of them where there is none."""
    return [cell for cell in cells if part is None or cell in part.cells]


def _mapping(asked: Any) -> Rule:
    """Axes with their labels, however they were put."""
    if isinstance(asked, Mapping) and asked:
        return {str(axis): _labels(axis, value) for axis, value in asked.items()}
    if not isinstance(asked, str) or not asked.strip():
        raise InputError(f"--config: {KEY}: got {asked!r}; {EXPECTED}")
    found: Rule = {}
    for word in asked.split():
        axis, equals, labels = word.partition("=")
        if not equals:
            raise InputError(f"--config: {KEY}: got {word!r}; {EXPECTED}")
        if axis in found:
            raise InputError(
                f"--config: {KEY}.{axis}: named twice; expected its labels in one list, "
                f"{axis}={','.join([*found[axis], labels])}"
            )
        found[axis] = labels.split(",")
    return found


def _labels(axis: Any, value: Any) -> list[str]:
    labels = value if isinstance(value, list) else [value]
    if not labels or any(isinstance(label, list | dict) for label in labels):
        raise InputError(
            f"--config: {KEY}.{axis}: got {value!r}; expected a label or a list of labels"
        )
    return [str(label) for label in labels]


def _problems(study: Study, axis: str, labels: list[str]) -> list[str]:
    """What is wrong with one axis of a rule."""
    if axis not in CELL_AXES:
        return [f": no axis {axis!r}; {nearest(axis, CELL_AXES)}"]
    return [
        f".{axis}: no {axis} {label!r}; {nearest(label, study.labels(axis))}"
        for label in labels
        if not _expanded(study, axis, [label])
    ]


def _expanded(study: Study, axis: str, labels: list[str]) -> list[str]:
    """The labels of the grid that are meant; none where there are none."""
    known = study.labels(axis)
    if axis == "training":
        return [name for label in labels for name in trainings.named(label, known)]
    return [label for label in labels if label in known]


def _hint(study: Study, rule: Rule) -> str:
    """Which labels there would be instead, of the first axis that alone leaves no cell."""
    for axis in rule:
        others = {key: labels for key, labels in rule.items() if key != axis}
        found = matching(study.cells, [others])
        if found:
            there = {getattr(cell, axis) for cell in found}
            labels = [label for label in study.labels(axis) if label in there]
            return f"grid keeps there of {axis}: {', '.join(labels)}"
    return "grid.include and grid.exclude leave other ones"
