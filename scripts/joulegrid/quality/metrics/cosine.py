"""Cosine of the sentence embeddings of answer and reference, by sentence-transformers; −1 to 1.

Reimers and Gurevych 2019. Of several references the closest one counts. An answer without a word
has 0.
"""

from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

from sentence_transformers import SentenceTransformer

from joulegrid.quality.metrics.encoders import LONGEST, cut, folder_of, name_of


def score(
    answers: Sequence[dict[str, Any]], entry: dict[str, Any]
) -> tuple[dict[str, dict[str, Any]], str]:
    """`cosine`."""
    encoder = SentenceTransformer(folder_of(entry))
    encoder.max_seq_length = min(encoder.max_seq_length or LONGEST, LONGEST)
    texts = sorted({text for a in answers for text in (a["text"], *a["references"])})
    found = encoder.encode(texts, normalize_embeddings=True, show_progress_bar=False)
    at = dict(zip(texts, found, strict=True))
    each = [
        max(float(at[answer["text"]] @ at[reference]) for reference in answer["references"])
        if answer["text"].strip()
        else 0.0
        for answer in answers
    ]
    shortened = cut(answers, encoder.tokenizer, encoder.max_seq_length)
    how = f"sentence-transformers {version('sentence-transformers')}|{name_of(entry)}"
    return {"cosine": {"each": each, "higher_is_better": True, "cut": shortened}}, how
