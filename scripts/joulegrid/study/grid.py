"""The grid: which configurations and cells a study has."""

from collections.abc import Callable, Collection, Iterable
from itertools import product
from typing import NamedTuple

CONFIGURATION_AXES = ("model", "training", "pruning", "quantization")
PLACE_AXES = ("hardware", "engine", "workload")
CELL_AXES = (*CONFIGURATION_AXES, *PLACE_AXES)


class Configuration(NamedTuple):
    """A set of weights, by its axis labels."""

    model: str
    training: str
    pruning: str
    quantization: str


class Cell(NamedTuple):
    """What an energy is measured of, by its axis labels."""

    model: str
    training: str
    pruning: str
    quantization: str
    hardware: str
    engine: str
    workload: str

    @property
    def configuration(self) -> Configuration:
        """The cell's weights."""
        return Configuration(*self[:4])


def short_name(labels: Iterable[str]) -> str:
    """Labels as one name; `none` says nothing where something else does."""
    found = [str(label) for label in labels]
    return " · ".join([label for label in found if label != "none"] or found[:1])


def cells(axes: dict[str, dict], include: list[dict], exclude: list[dict]) -> list[Cell]:
    """All combinations of the axes' labels that match a rule of `include` (if there is one) and
    none of `exclude`.

    A rule maps axes to a label or a list of labels and matches where all its axes match.
    """
    keep, drop = [_matcher(rule) for rule in include], [_matcher(rule) for rule in exclude]
    grid = (Cell(*labels) for labels in product(*(axes[axis] for axis in CELL_AXES)))
    return [
        c for c in grid if (not keep or any(m(c) for m in keep)) and not any(m(c) for m in drop)
    ]


def matching(found: Iterable[Cell], rules: list[dict]) -> list[Cell]:
    """The cells that match one of the rules, see `cells`."""
    matchers = [_matcher(rule) for rule in rules]
    return [cell for cell in found if any(matches(cell) for matches in matchers)]


def left_out(
    key: str, what: str, wanted: Iterable[Configuration], configurations: Collection[Configuration]
) -> list[str]:
    """A line for each configuration that is wanted as a `what` and is not in the grid."""
    return [
        f"{key}: {', '.join(map(': '.join, zip(CONFIGURATION_AXES, each, strict=True)))} is "
        f"excluded from the grid; pick another {what} or keep that configuration"
        for each in dict.fromkeys(wanted)
        if each not in configurations
    ]


def _matcher(rule: dict) -> Callable[[Cell], bool]:
    wanted = [
        (CELL_AXES.index(axis), {v} if isinstance(v, str) else set(v)) for axis, v in rule.items()
    ]
    return lambda cell: all(cell[position] in labels for position, labels in wanted)
