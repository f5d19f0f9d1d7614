"""Cells that are known not to fit before anything is sent, as the merge is told of them.

Which they are is decided by joulegrid.planning.infeasible.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from joulegrid.records import Spec
from joulegrid.study.grid import CELL_AXES, Cell


def packed(infeasible: Mapping[Cell, str]) -> dict[str, Any]:
    """Cells and why, in a form that takes little room in a spec: reasons once, labels as a tree."""
    reasons = {why: number for number, why in enumerate(sorted(set(infeasible.values())))}
    tree: dict[str, Any] = {}
    for cell, why in infeasible.items():
        place = tree
        for label in cell[:-1]:
            place = place.setdefault(label, {})
        place[cell[-1]] = reasons[why]
    return {"reasons": list(reasons), "cells": tree}


def unpacked(spec: Spec) -> dict[Cell, str]:
    """The cells that the spec of a merge has as infeasible, and why."""
    found = spec.get("infeasible", {"reasons": [], "cells": {}})
    return {Cell(*labels): found["reasons"][number] for labels, number in _leaves(found["cells"])}


def _leaves(tree: Any, labels: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], int]]:
    if len(labels) == len(CELL_AXES):
        yield labels, tree
        return
    for label, inner in tree.items():
        yield from _leaves(inner, (*labels, label))
