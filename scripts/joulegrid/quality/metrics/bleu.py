"""BLEU of the corpus, by sacrebleu with its defaults; 0 to 100. Papineni et al. 2002."""

from collections.abc import Sequence
from typing import Any

from sacrebleu.metrics import BLEU

from joulegrid.quality.metrics.corpus import of_sacrebleu


def score(
    answers: Sequence[dict[str, Any]], entry: dict[str, Any]
) -> tuple[dict[str, dict[str, Any]], str]:
    """`bleu`, with sacrebleu's signature."""
    each, signature = of_sacrebleu(BLEU(), answers)
    return {"bleu": {"each": each, "higher_is_better": True}}, signature
