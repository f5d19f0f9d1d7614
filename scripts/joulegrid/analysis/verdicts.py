"""Verdicts of a judge who compares two answers, A and B, and ends with a label in double brackets.

Labels, their weight and the rule for reading them: Arena-Hard-Auto (Li et al., arXiv 2406.11939).
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

# What a decisive verdict counts, beside 1 of any other
DECISIVE = 3
# Label -> who is better (1 A, -1 B, 0 neither) and how much the verdict counts
LABELS = {
    "A>>B": (1, DECISIVE),
    "A>B": (1, 1),
    "A=B": (0, 1),
    "B>A": (-1, 1),
    "B>>A": (-1, DECISIVE),
}
# The same, said from the other side
SAME_AS = {"B<<A": "A>>B", "B<A": "A>B", "B=A": "A=B", "A<B": "B>A", "A<<B": "B>>A"}
BRACKETS = re.compile(r"\[\[\s*([AB]\s*[<>=]+\s*[AB])\s*\]\]", re.IGNORECASE)


def verdict_of(reply: str) -> str | None:
    """The label that a reply ends on, one of `LABELS`; None where there is none, an unknown one, or
    several that contradict each other.
    """
    found = {"".join(label.upper().split()) for label in BRACKETS.findall(reply)}
    labels = {SAME_AS.get(label, label) for label in found}
    return labels.pop() if len(labels) == 1 and labels <= set(LABELS) else None


@dataclass(frozen=True)
class Verdicts:
    """Verdicts on one configuration and the baseline, question by question, each in both orders.

    Parameters
    ----------
    baseline_first
        labels with the baseline's answer as A; None where a reply could not be read.
    baseline_second
        labels on the same questions with the baseline's answer as B.
    """

    baseline_first: Sequence[str | None]
    baseline_second: Sequence[str | None]

    def __post_init__(self) -> None:
        if len(self.baseline_first) != len(self.baseline_second):
            raise ValueError("a question has one verdict in each order")

    @property
    def readable(self) -> np.ndarray:
        """Questions with a verdict in both orders, shape (questions,). One alone would count the
        judge's liking for a place.
        """
        pairs = zip(self.baseline_first, self.baseline_second, strict=True)
        return np.array([None not in pair for pair in pairs], dtype=bool)

    @property
    def unreadable(self) -> int:
        """Replies without a verdict."""
        return sum(v is None for v in (*self.baseline_first, *self.baseline_second))

    def points(self) -> tuple[np.ndarray, np.ndarray]:
        """What the configuration won and what there was to win, each of shape (questions,); 0 and 0
        where a question is not `readable`. A tie is half a point.
        """
        won, weight = np.zeros(len(self.baseline_first)), np.zeros(len(self.baseline_first))
        for sign, labels in ((-1, self.baseline_first), (1, self.baseline_second)):
            for n, label in enumerate(labels):
                better, counts = LABELS.get(label or "", (0, 0))
                won[n] += counts * (1 + sign * better) / 2
                weight[n] += counts
        return np.where(self.readable, won, 0), np.where(self.readable, weight, 0)

    def agreement(self) -> float:
        """Share of the readable questions where both orders name the same winner, or both none; NaN
        without any.
        """
        same = [LABELS[one][0] == -LABELS[other][0] for one, other in self._read()]
        return float(np.mean(same)) if same else np.nan

    def first_preferred(self) -> float:
        """Share of the verdicts with a winner that name the answer shown first, of readable
        questions; 0.5 for a judge without a liking for a place, NaN without any.
        """
        better = [LABELS[label][0] for pair in self._read() for label in pair]
        named = [each > 0 for each in better if each]
        return float(np.mean(named)) if named else np.nan

    def _read(self) -> list[tuple[str, str]]:
        pairs = zip(self.baseline_first, self.baseline_second, strict=True)
        return [(one, other) for one, other in pairs if one is not None and other is not None]
