"""Answers of a model to the questions of a file: the texts that metrics are computed of later."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any

import torch
from transformers import GenerationConfig

from joulegrid.engines.prompts import encoder
from joulegrid.errors import InputError, Unsupported
from joulegrid.jobs.run import say
from joulegrid.models.context import context_of
from joulegrid.texts.questions import Question, asked_of, questions_in


def generate(model: Any, tokenizer: Any, entry: dict, seed: int) -> dict[str, Any]:
    """The answers to the questions of `entry["data"]`, each until the model ends it or has written
    `new_tokens`; greedy, or sampled with `seed`.

    Returns
    -------
    `answers`, one for each question that is asked and fits into the model's context, and `counts`
    of what a reader must know of them.

    Raises
    ------
    Unsupported
        where a question is too long and the task refuses such, or all are; see `fair`.
    """
    torch.manual_seed(seed)
    questions = questions_in(entry["data"], entry)
    encode = encoder(tokenizer, entry["chat"])
    asked = [(question, encode(question.prompt)) for question in fair(questions, entry)]
    context = context_of(model.config)
    fitting = [
        each for each in asked if not context or len(each[1]) + entry["new_tokens"] <= context
    ]
    left_out = len(asked) - len(fitting)
    if left_out and (entry["too_long"] == "refuse" or not fitting):
        raise Unsupported(
            f"{left_out} of {len(asked)} prompts with {entry['new_tokens']} new tokens are longer "
            f"than the model's context of {context}"
        )
    ends = _end_tokens(model, tokenizer)
    answers: list[dict[str, Any]] = []
    for batch in _batches(fitting, entry["batch_size"]):
        answers += _answers(model, tokenizer, batch, ends, entry)
        say(f"generation: {len(answers)}/{len(fitting)} answers")
    return told(questions, len(asked), answers)


def fair(questions: Sequence[Question], entry: dict) -> list[Question]:
    """The questions that are asked, see `asked_of`.

    Raises
    ------
    Unsupported
        where there are none: a guide wrote all references, what files hold is known before.
    """
    try:
        return asked_of(questions, entry.get("leaked"))
    except InputError as error:
        raise Unsupported(str(error)) from None


def told(
    questions: Sequence[Question], asked: int, answers: Sequence[dict[str, Any]]
) -> dict[str, Any]:
    """What a record says of the answers to some questions, so many of which were asked; those of
    them that have none were too long.
    """
    counts = {
        "questions": len(questions),
        "too_long": asked - len(answers),
        "leaked": sum(question.leaks for question in questions),
        "not_asked": len(questions) - asked,
        "empty": sum(not answer["text"].strip() for answer in answers),
        "cut": sum(not answer["ended"] for answer in answers),
    }
    lines = [question.line for question in questions]
    return {"answers": [*answers], "counts": counts, "lines": lines}


def _batches(asked: list, size: int) -> Iterator[list]:
    """Batches in the order of the file."""
    for start in range(0, len(asked), size):
        yield asked[start : start + size]


def _answers(
    model: Any,
    tokenizer: Any,
    batch: list[tuple[Question, list[int]]],
    ends: list[int],
    entry: dict,
) -> list[dict[str, Any]]:
    padded = tokenizer.pad({"input_ids": [tokens for _, tokens in batch]}, return_tensors="pt")
    sampling = entry.get("sampling")
    how = GenerationConfig(
        max_new_tokens=entry["new_tokens"],
        do_sample=sampling is not None,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=ends,
        **(sampling or {}),
    )
    with torch.inference_mode():
        output = model.generate(**padded.to(model.device), generation_config=how)
    written = output[:, padded["input_ids"].shape[1] :].tolist()
    return [
        _answer(tokenizer, question, tokens, row, set(ends))
        for (question, tokens), row in zip(batch, written, strict=True)
    ]


def _answer(
    tokenizer: Any, question: Question, tokens: list[int], row: list[int], ends: set[int]
) -> dict[str, Any]:
    """One answer; what stands behind its end is the batch's padding."""
    length = next((n for n, token in enumerate(row) if token in ends), len(row))
    return {
        "line": question.line,
        "references": list(question.references),
        "text": tokenizer.decode(row[:length], skip_special_tokens=True),
        "tokens_read": len(tokens),
        "tokens_written": length,
        "ended": length < len(row),
    }


def _end_tokens(model: Any, tokenizer: Any) -> list[int]:
    """All tokens with which the model ends an answer: chat models have another than the
    tokenizer's.
    """
    own = [tokenizer.eos_token_id, model.config.eos_token_id]
    with suppress(OSError):  # the folder has no generation_config.json
        own.append(GenerationConfig.from_pretrained(tokenizer.name_or_path).eos_token_id)
    flat = [t for each in own for t in (each if isinstance(each, list) else [each])]
    return sorted({token for token in flat if token is not None})
