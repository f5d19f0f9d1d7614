"""The engine that is generate() of Hugging Face transformers, with greedy decoding in static
batches.
"""

import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import accelerate  # noqa: F401, from_pretrained places weights with it
import torch
from transformers import AutoTokenizer, GenerationConfig

from joulegrid.engines import Completion, Report, Request
from joulegrid.engines.prompts import Text, check_context, encoder, text_of, tokens_of
from joulegrid.engines.transformers import facts, sparse
from joulegrid.engines.transformers.batches import generate
from joulegrid.engines.transformers.options import decoding, set_attention
from joulegrid.errors import InputError, OutOfMemory
from joulegrid.jobs.implementation import implementation
from joulegrid.models.context import context_of


@dataclass
class Engine:
    """A loaded model with its tokenizer; `ends` are the tokens that end an answer, `decoding` is
    what else generate() is told.
    """

    model: Any
    tokenizer: Any
    batch_size: int
    ends: tuple[int, ...]
    decoding: dict[str, Any]
    _tokenized: dict[Text, list[int]] = field(default_factory=dict)
    _begun: dict[int, float] = field(default_factory=dict)

    def run(
        self,
        requests: Sequence[Request],
        at_once: int | None = None,
        report: Report | None = None,
    ) -> list[Completion]:
        """See `joulegrid.engines.Engine`; static batches of those that have arrived, in the order
        of their arrival. A batch ends as a whole: nobody joins it, and nobody leaves it.
        """
        self._begun = {}
        prompts = self.prepare(requests)
        waiting = deque(sorted(range(len(requests)), key=lambda n: requests[n].arrival_s))
        done: dict[int, Completion] = {}
        began = time.perf_counter()
        while waiting:
            time.sleep(max(0, requests[waiting[0]].arrival_s - (time.perf_counter() - began)))
            now_s = time.perf_counter() - began
            batch = self._arrived(waiting, requests, prompts, at_once, now_s)
            self._begun = dict.fromkeys(batch, now_s)
            of_batch = [prompts[n] for n in batch], [requests[n] for n in batch]
            completions = generate(
                self.model, self.tokenizer, *of_batch, self.ends, self.decoding, began
            )
            found = dict(zip(batch, completions, strict=True))
            done |= found
            if report:
                report(found)
        return [done[number] for number in range(len(requests))]

    def _arrived(
        self,
        waiting: deque[int],
        requests: Sequence[Request],
        prompts: Sequence[list[int]],
        at_once: int | None,
        now_s: float,
    ) -> list[int]:
        """Take the next batch: what has arrived, as far as it has room in the model's context when
        the longest prompt goes with the longest answer.
        """
        context = context_of(self.model.config)
        batch: list[int] = []
        prompt, answer = 0, 0  # tokens of the longest
        while waiting and len(batch) < min(at_once or self.batch_size, self.batch_size):
            number = waiting[0]
            prompt = max(prompt, len(prompts[number]))
            answer = max(answer, requests[number].new_tokens)
            too_long = context and prompt + answer > context
            if batch and (requests[number].arrival_s > now_s or too_long):
                break
            batch.append(waiting.popleft())
        return batch

    def prepare(self, requests: Sequence[Request]) -> list[list[int]]:
        """See `joulegrid.engines.Engine`."""
        prompts, context = [self._tokens(r) for r in requests], context_of(self.model.config)
        for prompt, request in zip(prompts, requests, strict=True):
            check_context(prompt, request, context)
        return prompts

    def _tokens(self, request: Request) -> list[int]:
        key = text_of(request)
        if key not in self._tokenized:
            self._tokenized[key] = tokens_of(request, encoder(self.tokenizer, request.chat))
        return self._tokenized[key]

    def begun(self) -> dict[int, float]:
        """See `joulegrid.engines.Engine`: the last batch."""
        return self._begun

    def describe(self) -> dict[str, Any]:
        """See `joulegrid.engines.Engine`."""
        return facts.of(self.model)

    def memory(self) -> dict[str, int]:
        """See `joulegrid.engines.Engine`."""
        return facts.memory()


def load(weights: Path, quantization: dict, hardware: dict, options: dict) -> Engine:
    """Load weights onto the device of a hardware entry, whole: nothing is ever moved to slower
    memory silently.

    Raises
    ------
    OutOfMemory
        where they do not fit on the GPUs.
    Unsupported
        where sparse kernels, an attention or compiled code are asked for and the device, the model
        or the weights cannot have them.
    InputError
        where the tokenizer has neither padding nor end token.
    """
    if "threads" in hardware:
        torch.set_num_threads(hardware["threads"])
    if options.get("sparse_kernels"):
        sparse.require(hardware)
    method = implementation("engines.transformers.loading", quantization["method"])
    model = method.load(str(weights), quantization, _placement(hardware))
    moved = {str(d) for d in (getattr(model, "hf_device_map", None) or {}).values()} & {
        "cpu",
        "disk",
    }
    if hardware["device"] == "cuda" and moved:
        where = ", ".join(sorted(moved))
        raise OutOfMemory(
            f"does not fit on {hardware['gpus']} GPU(s): layers were placed on {where}"
        )
    tokenizer = AutoTokenizer.from_pretrained(weights, padding_side="left")
    if tokenizer.pad_token_id is None:
        if tokenizer.eos_token_id is None:
            raise InputError(
                f"{weights}: the tokenizer has neither padding nor end token: no batches"
            )
        tokenizer.pad_token = tokenizer.eos_token
    if options.get("sparse_kernels"):
        sparse.convert(model)
    if "attention" in options:
        set_attention(model, options["attention"])
    ends = _ends(model, tokenizer)
    # A checkpoint's own generation settings (beams, penalties, …) would fill in what generate() is
    # not told
    model.generation_config = GenerationConfig()
    batch_size, told = options["batch_size"], decoding(model, options)
    return Engine(model.eval(), tokenizer, batch_size, ends, told)


def _ends(model: Any, tokenizer: Any) -> tuple[int, ...]:
    """The tokens that end an answer: the tokenizer's, and those that the checkpoint names."""
    named = model.generation_config.eos_token_id
    named = named if isinstance(named, list) else [named]
    return tuple(sorted({tokenizer.eos_token_id, *named} - {None}))


def _placement(hardware: dict) -> Any:
    if hardware["device"] == "cpu":
        return "cpu"
    return {"": 0} if hardware["gpus"] == 1 else "auto"
