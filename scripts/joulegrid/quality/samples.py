"""What a metric is made of, sample by sample, so that two configurations can be compared on the
same samples.

A metric is a mean Σ total / Σ weight over samples, or (link "exp") the exponential of one. The
standard library alone.
"""

import math
from collections.abc import Iterable, Sequence
from typing import Any

LINKS = {"mean": lambda mean: mean, "exp": math.exp}
# How far two ways to add up the same numbers may differ
SAME = 1e-6


def samples(link: str, total: Iterable[float], weight: Iterable[float] | None = None) -> dict:
    """Samples as a record holds them; without weights all count alike."""
    return {
        "link": link,
        "total": [_short(value) for value in total],
        "weight": None if weight is None else [_short(value) for value in weight],
    }


def _short(value: float) -> float | int:
    """Counts as integers: most metrics are 0 or 1 for a sample."""
    return int(value) if math.isfinite(value) and value == int(value) else float(value)


def value_of(found: dict[str, Any]) -> float:
    """The metric; infinite where its exponential is beyond floating-point numbers."""
    weight = found["weight"] or [1] * len(found["total"])
    try:
        return LINKS[found["link"]](math.fsum(found["total"]) / math.fsum(weight))
    except OverflowError:
        return math.inf


def standard_error(found: dict[str, Any]) -> float | None:
    """Standard error of the metric (a ratio of sums; through an exponential by the delta method);
    None with fewer than two samples.

    Cochran, Sampling Techniques, chapter 6.
    """
    total, n = found["total"], len(found["total"])
    if n < 2:
        return None
    weight = found["weight"] or [1] * n
    mean = math.fsum(total) / math.fsum(weight)
    squares = math.fsum((t - mean * w) ** 2 for t, w in zip(total, weight, strict=True))
    error = math.sqrt(n / (n - 1) * squares) / math.fsum(weight)
    return error * value_of(found) if found["link"] == "exp" else error


def behind(value: float, each: Sequence[Any]) -> dict[str, Any] | None:
    """The samples behind a value that another tool made of them; None where it is no mean of any
    kind known here (an F1 or BLEU over a whole corpus, say).

    Parameters
    ----------
    each
        per sample a number, a log-likelihood and what it is divided by, or a list of numbers (of
        the instructions in a prompt, say).
    """
    for found in _guesses(each):
        if math.isclose(value_of(found), value, rel_tol=SAME, abs_tol=SAME):
            return found
    return None


def _guesses(each: Sequence[Any]) -> Iterable[dict[str, Any]]:
    if all(isinstance(v, int | float) and math.isfinite(v) for v in each):
        yield samples("mean", each)
        yield samples("exp", (-v for v in each))
    elif all(isinstance(v, tuple | list) and len(v) == 2 for v in each):
        loss, weight = [-v[0] for v in each], [v[1] for v in each]
        if all(map(math.isfinite, (*loss, *weight))) and sum(weight) > 0:
            yield samples("exp", loss, weight)
            yield samples("mean", (v / math.log(2) for v in loss), weight)
    lists = all(isinstance(v, list) and all(isinstance(x, int | float) for x in v) for v in each)
    if lists and any(each):
        yield samples("mean", map(math.fsum, each), map(len, each))
