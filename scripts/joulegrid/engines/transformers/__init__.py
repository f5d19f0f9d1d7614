"""The engine that is generate() of Hugging Face transformers, with greedy decoding and a fixed
number of new tokens.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import accelerate  # noqa: F401, from_pretrained places weights with it
import torch
from transformers import AutoTokenizer, BatchEncoding, GenerationConfig

from joulegrid.engines import Completion, Request
from joulegrid.engines.transformers import facts, sparse
from joulegrid.errors import InputError, OutOfMemory, Unsupported
from joulegrid.jobs.implementation import implementation
from joulegrid.models.context import context_of


@dataclass
class Engine:
    """A loaded model with its tokenizer."""

    model: Any
    tokenizer: Any
    batch_size: int
    _tokenized: dict[tuple[Request, ...], BatchEncoding] = field(default_factory=dict)

    def run(self, requests: Sequence[Request]) -> list[Completion]:
        """See `joulegrid.engines.Engine`; batches are filled in the order of the requests."""
        began = time.perf_counter()
        done = []
        for start in range(0, len(requests), self.batch_size):
            done += self._generate(tuple(requests[start : start + self.batch_size]), began)
        return done

    def _generate(self, batch: tuple[Request, ...], began: float) -> list[Completion]:
        """Continue every prompt of a batch by exactly its number of new tokens; padding is not
        counted.
        """
        if batch not in self._tokenized:
            self._tokenized[batch] = self._tokenize(batch)
        encoded = self._tokenized[batch].to(self.model.device)
        new_tokens = batch[0].new_tokens
        greedy = GenerationConfig(
            max_new_tokens=new_tokens,
            min_new_tokens=new_tokens,
            do_sample=False,
            pad_token_id=self.tokenizer.pad_token_id,
            eos_token_id=self.tokenizer.eos_token_id,
        )
        with torch.inference_mode():
            output = self.model.generate(
                input_ids=encoded["input_ids"],
                attention_mask=encoded["attention_mask"],
                generation_config=greedy,
            )
        written = output[:, encoded["input_ids"].shape[1] :]
        texts = self.tokenizer.batch_decode(
            written, skip_special_tokens=True
        )  # waits for the device
        read = encoded["attention_mask"].sum(dim=1).tolist()
        done = time.perf_counter() - began
        return [
            Completion(r, written.shape[1], done, text) for r, text in zip(read, texts, strict=True)
        ]

    def _tokenize(self, batch: tuple[Request, ...]) -> BatchEncoding:
        """Left-padded tokens of a batch, whose requests ask for equally many new tokens."""
        if len({request.new_tokens for request in batch}) > 1:
            raise InputError("the requests of a batch ask for different numbers of new tokens")
        chat = batch[0].chat and bool(self.tokenizer.chat_template)
        texts = [self._templated(request.prompt) if chat else request.prompt for request in batch]
        encoded = self.tokenizer(
            texts, return_tensors="pt", padding=True, add_special_tokens=not chat
        )
        longest = encoded["input_ids"].shape[1] + batch[0].new_tokens
        context = context_of(self.model.config)
        if context and longest > context:
            raise Unsupported(
                f"prompt and new tokens are {longest} tokens, the model's context is {context}"
            )
        return encoded

    def _templated(self, prompt: str) -> str:
        turns = [{"role": "user", "content": prompt}]
        return self.tokenizer.apply_chat_template(turns, add_generation_prompt=True, tokenize=False)

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
        where sparse kernels are asked for and the device or the weights cannot have them.
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
    # A checkpoint's own generation settings (beams, penalties, …) would fill in what generate() is
    # not told
    model.generation_config = GenerationConfig()
    return Engine(model.eval(), tokenizer, options["batch_size"])


def _placement(hardware: dict) -> Any:
    if hardware["device"] == "cpu":
        return "cpu"
    return {"": 0} if hardware["gpus"] == 1 else "auto"
