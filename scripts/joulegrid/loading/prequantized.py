"""Weights that somebody else quantized: their own configuration says how, and these libraries run them."""

import bitsandbytes  # noqa: F401
import compressed_tensors  # noqa: F401
import gptqmodel  # noqa: F401
import optimum  # noqa: F401
import torch
from transformers import AutoModelForCausalLM

from joulegrid.findings import Unsupported


def load(folder: str, entry: dict, placement):
    """Raises Unsupported where a library that the format needs is not in the environment."""
    dtype = getattr(torch, entry["compute_dtype"])
    try:
        return AutoModelForCausalLM.from_pretrained(folder, device_map=placement, dtype=dtype)
    except ImportError as error:
        raise Unsupported(str(error).strip().splitlines()[0]) from None
