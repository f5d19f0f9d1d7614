"""Perplexity of a text by the sliding-window definition."""

import math
from pathlib import Path
from typing import Any

import torch
from torch.nn.functional import cross_entropy

from joulegrid.errors import InputError, Unsupported
from joulegrid.jobs.run import say
from joulegrid.models.context import context_of
from joulegrid.quality.samples import samples, standard_error, value_of
from joulegrid.texts.files import text_of

# Tokens whose losses are added up to one sample
PIECE = 64


def evaluate(
    model: Any, tokenizer: Any, entry: dict, seed: int, _beside: Path | None = None
) -> dict[str, dict]:
    """Token perplexity of `entry["text"]` in windows of `window` tokens that advance by `stride`;
    all its samples are in it.

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
    losses = sliding_window_losses(model, ids[:wanted], entry["window"], entry["stride"])
    return {"perplexity": {**metric_of(losses), "higher_is_better": False}}


def metric_of(losses: torch.Tensor) -> dict[str, Any]:
    """Perplexity, its standard error, and the losses behind it, added up over pieces of `PIECE`
    tokens: those of neighbouring tokens go together, those of pieces hardly do.

    Parameters
    ----------
    losses
        negative log-likelihood of each token, shape (n,).
    """
    pieces = losses.split(PIECE)
    found = samples("exp", (float(p.sum()) for p in pieces), (len(p) for p in pieces))
    value = value_of(found)
    if not math.isfinite(value):
        return {"value": value, "stderr": None, "samples": None}
    return {"value": value, "stderr": standard_error(found), "samples": found}


def sliding_window_losses(model: Any, ids: torch.Tensor, window: int, stride: int) -> torch.Tensor:
    """Negative log-likelihood of every token but the first, each given the tokens before it.

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

    Returns
    -------
    Shape (tokens scored,), float64, on the CPU.
    """
    losses, done = [], 1  # done: the first token has nothing before it
    for start in range(0, len(ids), stride):
        end = min(start + window, len(ids))
        piece = ids[start:end].to(model.device)
        with torch.inference_mode():
            logits = model(input_ids=piece[None]).logits[0, :-1].float()
        fresh = min(end - done, len(logits))
        if fresh > 0:
            found = cross_entropy(logits[-fresh:], piece[-fresh:], reduction="none")
            losses.append(found.double().cpu())
        done = end
        say(f"perplexity: {done}/{len(ids)} tokens, mean loss {losses[-1].mean():.4f} in the last")
        if end == len(ids):
            break
    return torch.cat(losses)
