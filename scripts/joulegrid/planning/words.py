"""Ranges for people. The report reads them too: nothing is imported here that takes time."""

import re

STARTS = re.compile(r"_(begun_now|best_of_next_\d+_h)$")  # what `today` puts behind a zone


def text(values: tuple[float, float, float]) -> str:
    """The median of a range, and between what it lies; given as low, median, high."""
    low, median, high = map(number, values)
    return f"{median} ({low} to {high})"


def number(value: float) -> str:
    """With three digits, large ones in full."""
    return f"{value:.3g}" if abs(value) < 1000 else f"{float(f'{value:.3g}'):,.0f}"


def zone(name: str) -> str:
    """A zone as a study spells it, and in words at which start, where that stands behind it."""
    return STARTS.sub(lambda found: found[0].replace("_", " "), name)
