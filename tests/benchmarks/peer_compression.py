# /// script
# requires-python = ">=3.11"
# dependencies = ["llmcompressor==0.14.0.1"]
# ///
"""The same by llm-compressor, in an environment of its own: compression.py starts it."""

import json
import sys
import time

import torch
from compressed_tensors.quantization import QuantizationArgs, QuantizationScheme
from datasets import Dataset
from llmcompressor import oneshot
from llmcompressor.modifiers.gptq import GPTQModifier
from llmcompressor.modifiers.pruning import SparseGPTModifier, WandaPruningModifier
from transformers import AutoModelForCausalLM

SHARED = {"targets": ["Linear"], "ignore": ["re:.*lm_head"]}
FOUR_BITS = QuantizationScheme(
    targets=["Linear"],
    weights=QuantizationArgs(
        num_bits=4, type="int", symmetric=True, strategy="group", group_size=64
    ),
)
RECIPES = {
    "wanda": lambda: WandaPruningModifier(sparsity=0.5, mask_structure="0:0", **SHARED),
    "sparsegpt": lambda: SparseGPTModifier(sparsity=0.5, mask_structure="0:0", **SHARED),
    "gptq": lambda: GPTQModifier(config_groups={"linear": FOUR_BITS}, ignore=SHARED["ignore"]),
}


def main(folder: str, samples: str) -> None:
    """Print {method: {seconds, perplexity}} as the last line; `samples`: a file of token ids."""
    with open(samples, encoding="utf-8") as stream:
        tokens = json.load(stream)
    data = Dataset.from_dict({"input_ids": tokens["calibration"]})
    found = {}
    for name in tokens["methods"]:
        began = time.perf_counter()
        model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
        oneshot(
            model=model,
            dataset=data,
            recipe=RECIPES[name](),
            num_calibration_samples=len(data),
            max_seq_length=len(tokens["calibration"][0]),
            shuffle_calibration_samples=False,
            pipeline="sequential",
        )
        found[name] = {
            "seconds": time.perf_counter() - began,
            "perplexity": perplexity(model, tokens["evaluation"]),
        }
    print(json.dumps(found))


def perplexity(model, windows: list[list[int]]) -> float:
    with torch.inference_mode():
        losses = [
            model(input_ids=torch.tensor([w]), labels=torch.tensor([w])).loss for w in windows
        ]
    return float(torch.stack(losses).mean().exp())


if __name__ == "__main__":
    main(*sys.argv[1:])
