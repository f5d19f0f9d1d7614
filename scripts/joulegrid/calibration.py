"""Calibration samples: seeded pieces of a text, the same for every method that asks for the same."""

import random
from pathlib import Path

import torch

from joulegrid.records import ROOT, InputError


def calibration_tokens(entry: dict, tokenizer, seed: int) -> torch.Tensor:
    """`entry["samples"]` pieces of `entry["tokens"]` tokens each, from `entry["text"]`, at seeded random places.

    Returns
    -------
    token ids, shape (samples, tokens)

    Raises
    ------
    InputError
        where the text has fewer tokens than one sample.
    """
    tokens = tokenizer(Path(ROOT, entry["text"]).read_text(encoding="utf-8"), add_special_tokens=False)["input_ids"]
    last = len(tokens) - entry["tokens"]
    if last < 0:
        raise InputError(
            f"{entry['text']}: the calibration text has {len(tokens)} tokens, one sample asks for {entry['tokens']}"
        )
    draw = random.Random(seed)
    starts = [draw.randint(0, last) for _ in range(entry["samples"])]
    return torch.tensor([tokens[start : start + entry["tokens"]] for start in starts])
