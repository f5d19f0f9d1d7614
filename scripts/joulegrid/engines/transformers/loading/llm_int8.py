"""LLM.int8() of bitsandbytes (Dettmers et al. 2022, arXiv 2208.07339): 8-bit weights, quantized
while loading.
"""

from pathlib import Path
from typing import Any

import bitsandbytes  # noqa: F401, its version determines the result
import torch
from transformers import AutoModelForCausalLM, BitsAndBytesConfig


def load(folder: str | Path, entry: dict, placement: Any) -> Any:
    """What is not quantized computes in `entry["compute_dtype"]`."""
    return AutoModelForCausalLM.from_pretrained(
        folder,
        device_map=placement,
        dtype=getattr(torch, entry["compute_dtype"]),
        quantization_config=BitsAndBytesConfig(load_in_8bit=True),
    )
