"""The points of a workload, as a study's entry says them."""

from typing import Any

# Keys that take one value or a list; a list is a sweep
SWEPT = ("prompt_tokens", "new_tokens", "concurrency")


def least(value: int | list[int]) -> int:
    """The least of the values of such a key."""
    return min(value) if isinstance(value, list) else value


def is_sweep(workload: dict[str, Any]) -> bool:
    """Whether an entry has several points."""
    values = [workload.get(key) for key in SWEPT]
    return any(isinstance(value, list) and len(value) > 1 for value in values)
