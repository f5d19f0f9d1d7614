"""LLM.int8() of bitsandbytes (Dettmers et al. 2022, arXiv 2208.07339): 8-bit weights, quantized while loading."""

import bitsandbytes  # noqa: F401, its version determines the result
import torch
from transformers import BitsAndBytesConfig


def load_options(entry: dict) -> dict:
    """Arguments of from_pretrained; what is not quantized computes in `entry["compute_dtype"]`."""
    return {
        "dtype": getattr(torch, entry["compute_dtype"]),
        "quantization_config": BitsAndBytesConfig(load_in_8bit=True),
    }
