"""The points of a workload, as a study's entry says them."""

from math import prod
from typing import Any

# Keys that take one value or a list; a list is a sweep
SWEPT = ("prompt_tokens", "new_tokens", "concurrency")


def least(value: int | list[int]) -> int:
    """The least of the values of such a key."""
    return min(value) if isinstance(value, list) else value


def number_of(workload: dict[str, Any]) -> int:
    """How many points an entry has: one for each combination of the values in its lists."""
    values = [workload.get(key) for key in SWEPT]
    return prod(len(value) for value in values if isinstance(value, list))
