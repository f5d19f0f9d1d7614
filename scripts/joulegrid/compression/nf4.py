"""4-bit NormalFloat of bitsandbytes (Dettmers et al. 2023, arXiv 2305.14314, section 3), quantized while loading."""

import bitsandbytes  # noqa: F401, its version determines the result
import torch
from transformers import BitsAndBytesConfig


def load_options(entry: dict) -> dict:
    """Arguments of from_pretrained; matrix products compute in `entry["compute_dtype"]`."""
    dtype = getattr(torch, entry["compute_dtype"])
    return {
        "dtype": dtype,
        "quantization_config": BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_compute_dtype=dtype,
            bnb_4bit_use_double_quant=entry["double_quantization"],
        ),
    }
