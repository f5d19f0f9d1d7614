"""4 bits by bitsandbytes, quantized while loading: NormalFloat (Dettmers et al. 2023, arXiv
2305.14314, section 3) or plain 4-bit floats, in blocks of 64 weights; with double quantization the
blocks' scales are quantized as well.
"""

from pathlib import Path
from typing import Any

import bitsandbytes  # noqa: F401, its version determines the result
import torch
from transformers import AutoModelForCausalLM, BitsAndBytesConfig


def load(folder: str | Path, entry: dict, placement: Any) -> Any:
    """Matrix products compute in `entry["compute_dtype"]`."""
    dtype = getattr(torch, entry["compute_dtype"])
    return AutoModelForCausalLM.from_pretrained(
        folder,
        device_map=placement,
        dtype=dtype,
        quantization_config=BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type=entry["type"],
            bnb_4bit_compute_dtype=dtype,
            bnb_4bit_use_double_quant=entry["double_quantization"],
        ),
    )
