"""Metrics of a whole corpus, of which no answer has a value of its own."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np


def of_sacrebleu(metric: Any, answers: Sequence[dict[str, Any]]) -> tuple[list[float], str]:
    """Pseudo-values of a metric of sacrebleu, out of what its own bootstrap is made of, and its
    signature.
    """
    most = max(len(answer["references"]) for answer in answers)
    # as sacrebleu takes them: all first references, all second ones, …; None where there are fewer
    padded = [[*a["references"], *[None] * (most - len(a["references"]))] for a in answers]
    streams = [list(stream) for stream in zip(*padded, strict=True)]
    counts = metric._extract_corpus_statistics([a["text"] for a in answers], streams)
    each = pseudo_values(lambda sums: metric._compute_score_from_stats(sums).score, counts)
    return each, str(metric.get_signature())


def pseudo_values(
    of: Callable[[np.ndarray], float], counts: Sequence[Sequence[float]]
) -> list[float]:
    """A value for every answer whose mean is the metric of the corpus, and whose spread is the
    metric's: the jackknife's pseudo-values, moved to that mean.

    What an answer adds is what the metric loses without it, θ + (n − 1)(mean of θ₋ᵢ − θ₋ᵢ); the
    standard error of their mean is the jackknife's. Efron and Tibshirani, An Introduction to the
    Bootstrap, chapter 11.

    Parameters
    ----------
    of
        the metric out of the sums of the counts.
    counts
        sufficient statistics of every answer, shape (n, statistics).
    """
    table = np.asarray(counts)
    whole = table.sum(axis=0)
    n, value = len(table), of(whole)
    if n == 1:
        return [value]
    without = np.array([of(whole - row) for row in table])
    return (value + (n - 1) * (without.mean() - without)).tolist()
