"""BERTScore of each answer: precision, recall and F1, without idf and not rescaled; up to 1.

Zhang et al. 2020, by bert-score. Of several references the best one counts. An answer without a
word has 0.
"""

from collections.abc import Sequence
from typing import Any

import torch
from bert_score import BERTScorer

from joulegrid.quality.metrics.encoders import LONGEST, cut, folder_of, name_of

# Of MiniLM's six layers: the fifth, as bert-score takes of DistilBERT's six
LAYER = 5


def score(
    answers: Sequence[dict[str, Any]], entry: dict[str, Any]
) -> tuple[dict[str, dict[str, Any]], str]:
    """`bertscore_precision`, `bertscore_recall` and `bertscore_f1`."""
    layer = entry["encoder"]["layer"] if "encoder" in entry else LAYER
    device = "cuda" if torch.cuda.is_available() else "cpu"
    scorer = BERTScorer(model_type=folder_of(entry), num_layers=layer, device=device)
    # transformers 5 gives models that do not say it a length that overflows
    scorer._tokenizer.model_max_length = min(scorer._tokenizer.model_max_length, LONGEST)
    told = [n for n, answer in enumerate(answers) if answer["text"].strip()]
    table = torch.zeros(3, len(answers))
    if told:
        pairs = [(answers[n]["text"], answers[n]["references"]) for n in told]
        texts, references = zip(*pairs, strict=True)
        table[:, told] = torch.stack(scorer.score(list(texts), list(references)))
    shortened = cut(answers, scorer._tokenizer, scorer._tokenizer.model_max_length)
    names = ("bertscore_precision", "bertscore_recall", "bertscore_f1")
    metrics = {
        name: {"each": row.tolist(), "higher_is_better": True, "cut": shortened}
        for name, row in zip(names, table, strict=True)
    }
    return metrics, f"{name_of(entry)}|{scorer.hash.rpartition('/')[2]}"
