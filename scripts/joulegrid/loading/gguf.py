"""GGUF weights for transformers, which dequantizes them: the numbers of the file, speed and memory of dense weights.

Quality is evaluated this way. llama.cpp (engine llamacpp) runs the quantized weights themselves.
"""

import gguf  # noqa: F401, transformers reads the file with it
import torch
from transformers import AutoModelForCausalLM


def load(folder: str, entry: dict, placement):
    dtype = getattr(torch, entry["compute_dtype"])
    return AutoModelForCausalLM.from_pretrained(folder, gguf_file="model.gguf", device_map=placement, dtype=dtype)
