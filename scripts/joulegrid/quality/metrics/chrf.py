"""chrF of the corpus, by sacrebleu with its defaults; 0 to 100. Popović 2015."""

from collections.abc import Sequence
from typing import Any

from sacrebleu.metrics import CHRF

from joulegrid.quality.metrics.corpus import of_sacrebleu


def score(
    answers: Sequence[dict[str, Any]], entry: dict[str, Any]
) -> tuple[dict[str, dict[str, Any]], str]:
    """`chrf`, with sacrebleu's signature."""
    each, signature = of_sacrebleu(CHRF(), answers)
    return {"chrf": {"each": each, "higher_is_better": True}}, signature
