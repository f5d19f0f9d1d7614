"""Exact match and F1 of words as SQuAD 1.1 defines them; 0 to 1.

Rajpurkar et al. 2016: lower case, without punctuation and the articles a, an, the. Of several
references the best one counts.
"""

import re
import string
from collections import Counter
from collections.abc import Sequence
from typing import Any

ARTICLES = re.compile(r"\b(a|an|the)\b")
PUNCTUATION = str.maketrans("", "", string.punctuation)


def score(
    answers: Sequence[dict[str, Any]], entry: dict[str, Any]
) -> tuple[dict[str, dict[str, Any]], str]:
    """`exact_match` and `f1`."""
    exact, shared = [], []
    for answer in answers:
        words = normal(answer["text"])
        references = [normal(reference) for reference in answer["references"]]
        exact.append(float(words in references))
        shared.append(max(f1(words, reference) for reference in references))
    metrics = {
        "exact_match": {"each": exact, "higher_is_better": True},
        "f1": {"each": shared, "higher_is_better": True},
    }
    return metrics, "SQuAD-1.1"


def normal(text: str) -> list[str]:
    """The words of a text that count."""
    return ARTICLES.sub(" ", text.lower().translate(PUNCTUATION)).split()


def f1(words: list[str], reference: list[str]) -> float:
    """Harmonic mean of the shares of words that both have in common."""
    common = sum((Counter(words) & Counter(reference)).values())
    return 2 * common / (len(words) + len(reference)) if common else float(words == reference)
