"""Perplexity of a text by the sliding-window definition."""

import math
from typing import Any

import torch
from torch.nn.functional import cross_entropy

from joulegrid.errors import InputError, Unsupported
from joulegrid.jobs.run import say
from joulegrid.models.context import context_of
from joulegrid.texts.files import text_of


def evaluate(model: Any, tokenizer: Any, entry: dict, seed: int) -> dict[str, dict]:
    """Token perplexity of `entry["text"]` in windows of `window` tokens that advance by `stride`.

    Raises
    ------
    InputError
        where the text has fewer tokens than the task asks for.
    Unsupported
        where a window is longer than the model's context.
    """
    name, text = entry["text"]["path"], text_of(entry["text"])
    ids = tokenizer(text, return_tensors="pt")["input_ids"][0]
    wanted = entry.get("tokens", len(ids))
    if wanted > len(ids):
        raise InputError(f"{name}: the text has {len(ids)} tokens, the task asks for {wanted}")
    if wanted < 2:
        raise InputError(f"{name}: the text has {wanted} tokens, perplexity needs two")
    context = context_of(model.config)
    if context and entry["window"] > context:
        raise Unsupported(
            f"a window of {entry['window']} tokens is more than the model's context of {context}"
        )
    value = sliding_window_perplexity(model, ids[:wanted], entry["window"], entry["stride"])
    return {"perplexity": {"value": value, "stderr": None, "higher_is_better": False}}


def sliding_window_perplexity(model: Any, ids: torch.Tensor, window: int, stride: int) -> float:
    """Exp of the mean negative log-likelihood of every token but the first, each given the tokens
    before it.

    A window starts every `stride` tokens and holds at most `window`; of each, only the tokens that
    no earlier window
    has scored count, so that each is scored once, with at least window − stride tokens before it
    where there are
    that many. (The first token of a window has nothing before it: with stride = window it is left
    out.)
    Definition: Jurafsky and Martin, Speech and Language Processing, chapter on n-gram models; the
    windows are those of
    the guide "Perplexity of fixed-length models" of transformers.

    Parameters
    ----------
    ids
        token ids, shape (n,).
    """
    total, scored, done = 0.0, 0, 1  # done: the first token has nothing before it
    for start in range(0, len(ids), stride):
        end = min(start + window, len(ids))
        piece = ids[start:end].to(model.device)
        with torch.inference_mode():
            logits = model(input_ids=piece[None]).logits[0, :-1].float()
        fresh = min(end - done, len(logits))
        if fresh > 0:
            total += float(cross_entropy(logits[-fresh:], piece[-fresh:], reduction="sum"))
            scored += fresh
        done = end
        say(f"perplexity: {done}/{len(ids)} tokens, mean loss {total / scored:.4f} so far")
        if end == len(ids):
            break
    try:
        return math.exp(total / scored)
    except OverflowError:
        return math.inf
