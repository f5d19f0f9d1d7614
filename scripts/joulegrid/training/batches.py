"""Samples as token ids with their labels, packed if wanted, and batches of them."""

import math
from collections import Counter
from collections.abc import Callable
from typing import Any

import torch
from bitsandbytes.nn import Linear4bit

from joulegrid.engines.prompts import encoder
from joulegrid.errors import Diverged, InputError, Unsupported
from joulegrid.texts.rows import REFUSE, Sample

# A label that counts in no loss
IGNORED = -100
Tokens = dict[str, list[int]]


def tokens_of(sample: Sample, tokenizer: Any, entry: dict[str, Any]) -> Tokens:
    """`input_ids` of a prompt, its answer and the end, and their `labels`.

    The prompt stands in the model's chat template where it has one and the entry does not say
    otherwise. With `loss: answers` the labels of the prompt are ignored.

    Raises
    ------
    Unsupported
        where the tokenizer names no end.
    """
    if tokenizer.eos_token_id is None:
        raise Unsupported(
            "the tokenizer names no end token (eos_token), by which a model learns where an answer "
            "ends"
        )
    asked = encoder(tokenizer, entry["chat"])(sample.prompt)
    answered = tokenizer(sample.answer, add_special_tokens=False)["input_ids"]
    whole = [*asked, *answered, tokenizer.eos_token_id]
    free = len(asked) if entry["loss"] == "answers" else 1
    return {"input_ids": whole, "labels": [*[IGNORED] * free, *whole[free:]]}


def fitting(samples: list[Tokens], longest: int, policy: str) -> tuple[list[Tokens], Counter[str]]:
    """Samples of `longest` tokens at most, and how many were `too_long`.

    Parameters
    ----------
    policy
        what becomes of longer ones: `drop`, `truncate` (their ends are cut off; who has no label
        left is dropped and counted as `only_prompt`), `refuse`.

    Raises
    ------
    InputError
        where one is longer and that is refused, or none is left.
    """
    counts = Counter(too_long=sum(len(each["input_ids"]) > longest for each in samples))
    if counts["too_long"] and policy == REFUSE:
        raise InputError(
            f"{counts['too_long']} samples are longer than {longest} tokens; raise "
            "sequence_length as far as the model's context, or say too_long: drop or truncate"
        )
    kept = []
    for each in samples:
        if len(each["input_ids"]) > longest:
            if policy != "truncate":
                continue
            each = {key: values[:longest] for key, values in each.items()}
            if all(label == IGNORED for label in each["labels"]):
                counts["only_prompt"] += 1
                continue
        kept.append(each)
    if not kept:
        shortest = min((len(each["input_ids"]) for each in samples), default=0)
        raise InputError(
            f"no sample is left of at most {longest} tokens, the shortest has {shortest}; raise "
            "sequence_length"
        )
    return kept, counts


def packed(samples: list[Tokens], longest: int) -> list[Tokens]:
    """Samples put one behind the other, as many as fit into `longest` tokens, in their order.

    `position_ids` begin anew with every sample: transformers lets none see another one.
    """
    rows: list[Tokens] = []
    for each in samples:
        size = len(each["input_ids"])
        if not rows or len(rows[-1]["input_ids"]) + size > longest:
            rows.append({"input_ids": [], "labels": [], "position_ids": []})
        rows[-1]["input_ids"] += each["input_ids"]
        rows[-1]["labels"] += [IGNORED, *each["labels"][1:]]
        rows[-1]["position_ids"] += range(size)
    return rows


def padding_of(tokenizer: Any) -> int:
    """The token that batches are filled up with: the padding token, or the one that ends."""
    return tokenizer.eos_token_id if tokenizer.pad_token_id is None else tokenizer.pad_token_id


def collator(padding: int) -> Callable[[list[Tokens]], dict[str, torch.Tensor]]:
    """A function that makes a batch: tensors (samples, tokens) as long as the longest sample.

    Behind packed samples the padding is a sample of its own, which no label asks for.
    """

    def collate(samples: list[Tokens]) -> dict[str, torch.Tensor]:
        longest = max(len(each["input_ids"]) for each in samples)
        gaps = [longest - len(each["input_ids"]) for each in samples]
        pairs = list(zip(samples, gaps, strict=True))
        batch = {
            "input_ids": [each["input_ids"] + [padding] * gap for each, gap in pairs],
            "labels": [each["labels"] + [IGNORED] * gap for each, gap in pairs],
        }
        if "position_ids" in samples[0]:
            batch["position_ids"] = [each["position_ids"] + list(range(gap)) for each, gap in pairs]
        else:
            batch["attention_mask"] = [
                [1] * len(each["input_ids"]) + [0] * gap for each, gap in pairs
            ]
        return {key: torch.tensor(values) for key, values in batch.items()}

    return collate


def mean_loss(
    model: Any, samples: list[Tokens], batch_size: int, collate: Callable[..., Any]
) -> float:
    """The mean loss over all labels of `samples`, in nats per token; the model is not changed."""
    total, count, was = 0.0, 0, model.training
    model.eval()
    for module in model.modules():
        if isinstance(module, Linear4bit):
            # on CPUs with AVX512-BF16 it repacks its weights when it is not in training, and no
            # gradient comes through it from then on
            module.training = True
    with torch.no_grad():
        for begin in range(0, len(samples), batch_size):
            batch = collate(samples[begin : begin + batch_size])
            batch = {key: value.to(model.device) for key, value in batch.items()}
            labels = batch.pop("labels")[:, 1:]
            logits = model(**batch, use_cache=False).logits[:, :-1].float()
            total += torch.nn.functional.cross_entropy(
                logits.flatten(0, 1),
                labels.flatten().to(logits.device),
                ignore_index=IGNORED,
                reduction="sum",
            ).item()
            count += int((labels != IGNORED).sum())
    model.train(was)
    return total / count


def sound(loss: float, is_merged: bool = False) -> float:
    """The validation loss of weights that compute numbers: before the first step, or as merged.

    Raises
    ------
    Diverged
        where it is none.
    """
    if not math.isfinite(loss):
        raise Diverged(
            "the validation loss "
            + ("of the merged weights" if is_merged else "before the first step")
            + f" is {loss}: these weights compute no number, or not in this precision"
        )
    return loss
