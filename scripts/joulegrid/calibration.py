"""Calibration samples: seeded pieces of a text, the same for every method that asks for the same."""

import random

import torch

from joulegrid.records import InputError
from joulegrid.texts import text_of


def calibration_tokens(entry: dict, tokenizer, seed: int, context: int | None = None) -> torch.Tensor:
    """`entry["samples"]` pieces of `entry["tokens"]` tokens each, from the file `entry["text"]`
    (a text, or prompts as JSONL), at seeded random places.

    Returns
    -------
    token ids, shape (samples, tokens)

    Raises
    ------
    InputError
        where the text has fewer tokens than one sample, or a sample is longer than the model's `context`.
    """
    if context and entry["tokens"] > context:
        raise InputError(f"{entry['text']}: samples of {entry['tokens']} tokens; the model's context is {context}")
    tokens = tokenizer(text_of(entry["text"]), add_special_tokens=False)["input_ids"]
    last = len(tokens) - entry["tokens"]
    if last < 0:
        raise InputError(
            f"{entry['text']}: the calibration text has {len(tokens)} tokens, one sample asks for {entry['tokens']}"
        )
    draw = random.Random(seed)
    starts = [draw.randint(0, last) for _ in range(entry["samples"])]
    return torch.tensor([tokens[start : start + entry["tokens"]] for start in starts])


def context_of(config) -> int | None:
    """The longest sequence a model is made for, None where its configuration does not say."""
    return getattr(config.get_text_config(), "max_position_embeddings", None)
