"""ROUGE-1, ROUGE-2 and ROUGE-L of each answer, F-measures by rouge-score without stemming; 0 to 1.

Lin 2004. Of several references the best one counts.
"""

from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

from rouge_score.rouge_scorer import RougeScorer

KINDS = ("rouge1", "rouge2", "rougeL")


def score(
    answers: Sequence[dict[str, Any]], entry: dict[str, Any]
) -> tuple[dict[str, dict[str, Any]], str]:
    """`rouge1`, `rouge2` and `rougeL`."""
    scorer = RougeScorer(KINDS, use_stemmer=False)
    found = [scorer.score_multi(a["references"], a["text"]) for a in answers]
    metrics = {
        kind: {"each": [each[kind].fmeasure for each in found], "higher_is_better": True}
        for kind in KINDS
    }
    return metrics, f"rouge-score {version('rouge-score')}|fmeasure|stemmer:no"
