"""What is known not to fit before anything is sent, as the merge is told of it.

What that is is decided by joulegrid.planning.infeasible. It is named by labels: a cell by all of
its own; weights that cannot be made by the first ones, which all jobs behind them share.
"""

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from joulegrid.records import Spec
from joulegrid.study.grid import CELL_AXES, Cell

# Labels -> why no job with these, or with more behind them, is sent
Infeasible = Mapping[tuple[str, ...], str]
LEAST = 2  # model and training


def reason(infeasible: Infeasible, labels: tuple[str, ...]) -> str | None:
    """Why a job with these labels is not sent; None where it is."""
    return next((infeasible[key] for key in _keys(labels) if key in infeasible), None)


def is_kept_back(infeasible: Collection[tuple[str, ...]], labels: tuple[str, ...]) -> bool:
    """Whether a job with these labels is not sent."""
    return any(key in infeasible for key in _keys(labels))


def _keys(labels: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    return (labels[:count] for count in range(LEAST, len(labels) + 1))


def packed(infeasible: Infeasible) -> dict[str, Any]:
    """Labels and why, in a form that takes little room in a spec: reasons once, cells as a tree."""
    reasons = {why: number for number, why in enumerate(sorted(set(infeasible.values())))}
    tree: dict[str, Any] = {}
    others = []
    for labels, why in infeasible.items():
        if len(labels) < len(CELL_AXES):
            others.append([*labels, reasons[why]])
            continue
        place = tree
        for label in labels[:-1]:
            place = place.setdefault(label, {})
        place[labels[-1]] = reasons[why]
    made = {"made": others} if others else {}
    return {"reasons": list(reasons), "cells": tree, **made}


def unpacked(spec: Spec) -> dict[tuple[str, ...], str]:
    """What the spec of a merge has as infeasible, and why."""
    found = spec.get("infeasible", {"reasons": [], "cells": {}})
    reasons = found["reasons"]
    made: dict[tuple[str, ...], str] = {
        tuple(labels): reasons[number] for *labels, number in found.get("made", [])
    }
    made.update((Cell(*labels), reasons[number]) for labels, number in _leaves(found["cells"]))
    return made


def _leaves(tree: Any, labels: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], int]]:
    if len(labels) == len(CELL_AXES):
        yield labels, tree
        return
    for label, inner in tree.items():
        yield from _leaves(inner, (*labels, label))
