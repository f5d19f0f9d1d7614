"""Inference engines: one module per engine, named as in a study.

Each has `load(checkpoint, quantization, hardware, options) -> Engine`, and an Engine has
`prepare(prompts, chat, new_tokens) -> batches`, `generate(batches, new_tokens) -> Tokens` and `describe() -> dict`.
What an engine cannot do is raised as Unsupported, what does not fit as OutOfMemory: both are results of a study, not
errors.
"""

from typing import NamedTuple


class Tokens(NamedTuple):
    """How many tokens a run read and wrote."""

    read: int
    written: int
