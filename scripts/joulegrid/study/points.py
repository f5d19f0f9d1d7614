"""The points of a workload, as a study's entry says them."""

from itertools import product
from math import prod
from typing import Any, NamedTuple

# Keys that take one value or a list; a list is a sweep
SWEPT = ("concurrency", "prompt_tokens", "new_tokens")


class Swept(NamedTuple):
    """The values of such keys at one point; None where the entry says none."""

    concurrency: int | None
    prompt_tokens: int | None
    new_tokens: int


def least(value: int | list[int]) -> int:
    """The least of the values of such a key."""
    return min(value) if isinstance(value, list) else value


def number_of(workload: dict[str, Any]) -> int:
    """How many points an entry has: one for each combination of the values in its lists."""
    return prod(map(len, _values(workload)))


def points_of(workload: dict[str, Any]) -> list[Swept]:
    """Each point of an entry, in the order in which they are measured."""
    return [Swept(*values) for values in product(*_values(workload))]


def _values(workload: dict[str, Any]) -> list[list[Any]]:
    """Of each such key, as lists."""
    found = [workload.get(key) for key in SWEPT]
    return [value if isinstance(value, list) else [value] for value in found]
