"""Static batches: prompts that are filled up to the longest one, and continued together until the
last of them ends.
"""

import time
from collections.abc import Sequence
from typing import Any

import torch
from transformers import (
    GenerationConfig,
    LogitsProcessor,
    LogitsProcessorList,
    StoppingCriteria,
    StoppingCriteriaList,
)

from joulegrid.engines import Completion, Request


class NoEnd(LogitsProcessor):
    """Keeps rows that do not stop from ending: their end tokens cannot be chosen."""

    def __init__(self, rows: torch.Tensor, ends: torch.Tensor):
        self.banned = rows[:, None], ends[None, :]

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Scores of the next token, which are generate()'s own copy."""
        scores[self.banned] = -torch.inf
        return scores


class Ends(StoppingCriteria):
    """Ends a row at its end token or with its last new token; notes when the first tokens are
    there.

    Parameters
    ----------
    prompt
        tokens that every row has read.
    limits
        new tokens of every row.
    """

    def __init__(self, prompt: int, limits: torch.Tensor, stops: torch.Tensor, ends: torch.Tensor):
        self.prompt, self.limits, self.stops, self.ends = prompt, limits, stops, ends
        self.first_token_s = 0.0

    def __call__(self, input_ids: torch.Tensor, scores: Any, **_: Any) -> torch.Tensor:
        """Which rows are complete."""
        if not self.first_token_s:
            if input_ids.is_cuda:
                torch.cuda.synchronize(input_ids.device)
            self.first_token_s = time.perf_counter()
        complete = input_ids.shape[1] - self.prompt >= self.limits
        if len(self.ends):
            complete = complete | (self.stops & torch.isin(input_ids[:, -1], self.ends))
        return complete


def generate(
    model: Any,
    tokenizer: Any,
    prompts: Sequence[list[int]],
    requests: Sequence[Request],
    ends: Sequence[int],
    decoding: dict[str, Any],
    began: float,
) -> list[Completion]:
    """Continue every prompt of a batch greedily; all are given back when the last has ended.

    Parameters
    ----------
    ends
        tokens that end an answer; they count as written.
    decoding
        what else generate() is told.
    began
        on `time.perf_counter`: what the times of completions are counted from.
    """
    started = time.perf_counter()
    device, longest = model.device, max(map(len, prompts))
    ids = torch.full((len(prompts), longest), tokenizer.pad_token_id)
    mask = torch.zeros_like(ids)
    for row, prompt in enumerate(prompts):
        ids[row, longest - len(prompt) :] = torch.tensor(prompt)
        mask[row, longest - len(prompt) :] = 1
    stops = torch.tensor([request.stops for request in requests], device=device)
    limits = torch.tensor([request.new_tokens for request in requests], device=device)
    ending = torch.tensor(ends, dtype=torch.long, device=device)
    until = Ends(longest, limits, stops, ending)
    going_on = [NoEnd((~stops).nonzero().flatten(), ending)] if ends else []
    with torch.inference_mode():
        output = model.generate(
            input_ids=ids.to(device),
            attention_mask=mask.to(device),
            generation_config=GenerationConfig(
                max_new_tokens=max(request.new_tokens for request in requests),
                do_sample=False,
                pad_token_id=tokenizer.pad_token_id,
                **decoding,
            ),
            logits_processor=LogitsProcessorList(going_on),
            stopping_criteria=StoppingCriteriaList([until]),
        )
    written = output[:, longest:].tolist()  # waits for the device
    answers = [_answer(row, request, ends) for row, request in zip(written, requests, strict=True)]
    texts = tokenizer.batch_decode(answers, skip_special_tokens=True)
    done = time.perf_counter() - began
    return [
        Completion(
            tokens_read=len(prompt),
            tokens_written=len(answer),
            done_s=done,
            text=text,
            first_token_s=until.first_token_s - began,
            started_s=started - began,
            padding=output.shape[1] - len(prompt) - len(answer),
        )
        for prompt, answer, text in zip(prompts, answers, texts, strict=True)
    ]


def _answer(row: list[int], request: Request, ends: Sequence[int]) -> list[int]:
    """What of a row of new tokens is the answer: the end token belongs to it."""
    row = row[: request.new_tokens]
    if not request.stops:
        return row
    last = next((n for n, token in enumerate(row) if token in ends), len(row))
    return row[: last + 1]
