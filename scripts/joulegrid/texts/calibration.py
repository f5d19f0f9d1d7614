"""Calibration samples: seeded pieces of a text, the same for all who ask for the same."""

import random
from typing import Any

import torch

from joulegrid.errors import InputError
from joulegrid.texts.files import text_of


def calibration_tokens(
    entry: dict[str, Any], tokenizer: Any, seed: int, context: int | None = None
) -> torch.Tensor:
    """`entry["samples"]` pieces of `entry["tokens"]` tokens each, at seeded random places of a
    file.

    Parameters
    ----------
    entry
        `text` (a file: a text, or prompts as JSONL), `samples`, `tokens`.
    context
        the longest sequence of the model, None where it is not known.

    Returns
    -------
    Token ids, shape (samples, tokens); no piece starts twice at the same place.

    Raises
    ------
    InputError
        where the text cannot give that many different pieces, or a piece is longer than `context`.
    """
    name, samples, length = entry["text"]["path"], entry["samples"], entry["tokens"]
    if context and length > context:
        raise InputError(f"{name}: samples of {length} tokens; the model's context is {context}")
    tokens = tokenizer(text_of(entry["text"]), add_special_tokens=False)["input_ids"]
    places = len(tokens) - length + 1
    if places < samples:
        raise InputError(
            f"{name}: {len(tokens)} tokens give {max(places, 0)} different pieces of {length} "
            "tokens, "
            f"the study asks for {samples}; name a longer text, or fewer or shorter samples"
        )
    starts = random.Random(seed).sample(range(places), samples)
    return torch.tensor([tokens[start : start + length] for start in starts])
