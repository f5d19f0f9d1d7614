"""The engine that is generate() of Hugging Face transformers, with greedy decoding and a fixed number of new tokens."""

from collections import Counter
from dataclasses import dataclass
from typing import Any

import accelerate  # noqa: F401, from_pretrained places weights with it
import torch
from transformers import AutoTokenizer, BatchEncoding, GenerationConfig

from joulegrid.engines import Tokens, sparse
from joulegrid.findings import OutOfMemory, Unsupported
from joulegrid.methods import implementation
from joulegrid.records import InputError


@dataclass
class Engine:
    """A loaded model with its tokenizer."""

    model: Any
    tokenizer: Any
    batch_size: int

    def prepare(self, prompts: list[str], chat: bool, new_tokens: int) -> list[BatchEncoding]:
        """Tokenize and batch prompts, left-padded, so that a run spends nothing on it.

        Raises Unsupported where a prompt with its new tokens is longer than the model's context.
        """
        if chat and self.tokenizer.chat_template:
            turns = [[{"role": "user", "content": prompt}] for prompt in prompts]
            texts = self.tokenizer.apply_chat_template(turns, add_generation_prompt=True, tokenize=False)
            batches = self._batches(texts, special_tokens=False)
        else:
            batches = self._batches(prompts, special_tokens=True)
        longest = max(batch["input_ids"].shape[1] for batch in batches) + new_tokens
        context = getattr(self.model.config, "max_position_embeddings", None)
        if context and longest > context:
            raise Unsupported(f"prompt and new tokens are {longest} tokens, the model's context is {context}")
        return batches

    def _batches(self, texts: list[str], special_tokens: bool) -> list[BatchEncoding]:
        pieces = [texts[i : i + self.batch_size] for i in range(0, len(texts), self.batch_size)]
        return [
            self.tokenizer(piece, return_tensors="pt", padding=True, add_special_tokens=special_tokens)
            for piece in pieces
        ]

    def generate(self, batches: list[BatchEncoding], new_tokens: int) -> Tokens:
        """Continue every prompt by exactly `new_tokens` tokens; padding is not counted."""
        greedy = GenerationConfig(
            max_new_tokens=new_tokens,
            min_new_tokens=new_tokens,
            do_sample=False,
            pad_token_id=self.tokenizer.pad_token_id,
            eos_token_id=self.tokenizer.eos_token_id,
        )
        read = written = 0
        for batch in batches:
            batch = batch.to(self.model.device)
            with torch.inference_mode():
                output = self.model.generate(
                    input_ids=batch["input_ids"],
                    attention_mask=batch["attention_mask"],
                    generation_config=greedy,
                )
            read += int(batch["attention_mask"].sum())
            written += output.shape[0] * (output.shape[1] - batch["input_ids"].shape[1])
        if self.model.device.type == "cuda":
            torch.cuda.synchronize()
        return Tokens(read, written)

    def describe(self) -> dict[str, Any]:
        """The kernels that really run (class of every linear layer -> count) and the bytes of the loaded weights."""
        kernels = Counter(kernel(m) for m in self.model.modules() if "Linear" in type(m).__name__)
        return {
            "kernels": dict(kernels),
            "weights_bytes": weights_bytes(self.model),
        }


def weights_bytes(model: Any) -> int:
    """Bytes of all weights and buffers, with the scales that bitsandbytes keeps beside the weights."""
    scales = []
    for parameter in model.parameters():
        scales.append(getattr(parameter, "SCB", None))  # LLM.int8(): one per row, until the first forward pass …
        state = getattr(parameter, "quant_state", None)  # 4 bits: one per block, themselves quantized if so wished
        while state is not None:
            scales += [state.absmax, state.code]
            state = getattr(state, "state2", None)
    # … and from then on in the layer's state
    scales += [getattr(getattr(module, "state", None), "SCB", None) for module in model.modules()]
    held = {s.data_ptr(): s.numel() * s.element_size() for s in scales if s is not None}
    return int(model.get_memory_footprint()) + sum(held.values()) - sparse.saved_bytes(model)


def kernel(layer: torch.nn.Module) -> str:
    """What a linear layer computes with: its class, and what its weights are where the class does not say it."""
    name = type(layer).__name__
    if name == "Linear" and hasattr(layer, "quantization_scheme"):
        return "Linear (quantization emulated)"
    weight = getattr(layer, "weight", None)
    sparse = type(weight.data).__name__ if isinstance(weight, torch.Tensor) else ""
    return f"{name} ({sparse})" if "Sparse" in sparse else name


def load(checkpoint: dict, quantization: dict, hardware: dict, options: dict) -> Engine:
    """Load a checkpoint onto the device of a hardware entry, whole: nothing is ever moved to slower memory silently.

    Raises
    ------
    OutOfMemory
        where it does not fit on the GPUs.
    Unsupported
        where sparse kernels are asked for and the device or the weights cannot have them.
    InputError
        where the tokenizer has neither padding nor end token.
    """
    folder = checkpoint["weights"]
    if options.get("sparse_kernels"):
        sparse.require(hardware)
    model = implementation("loading", quantization["method"]).load(folder, quantization, _placement(hardware))
    moved = {str(d) for d in (getattr(model, "hf_device_map", None) or {}).values()} & {"cpu", "disk"}
    if hardware["device"] == "cuda" and moved:
        raise OutOfMemory(
            f"does not fit on {hardware['gpus']} GPU(s): layers were placed on {', '.join(sorted(moved))}"
        )
    tokenizer = AutoTokenizer.from_pretrained(folder, padding_side="left")
    if tokenizer.pad_token_id is None:
        if tokenizer.eos_token_id is None:
            raise InputError(
                f"{folder}: the tokenizer has neither a padding nor an end token, prompts cannot be batched"
            )
        tokenizer.pad_token = tokenizer.eos_token
    if options.get("sparse_kernels"):
        sparse.convert(model)
    # A checkpoint's own generation settings (beams, penalties, …) would fill in what generate() is not told
    model.generation_config = GenerationConfig()
    return Engine(model.eval(), tokenizer, options["batch_size"])


def _placement(hardware: dict) -> Any:
    if hardware["device"] == "cpu":
        return "cpu"
    return {"": 0} if hardware["gpus"] == 1 else "auto"
