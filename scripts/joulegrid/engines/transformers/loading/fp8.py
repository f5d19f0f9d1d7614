"""FP8 weights and activations (W8A8) in the compressed-tensors format.

Where the GPU multiplies FP8 matrices (compute capability 8.9 or later) they run as such. Elsewhere
the same arithmetic is emulated in the compute type: right for quality, no saving of energy; the
kernels in the record say which it was.
"""

from pathlib import Path
from typing import Any

import compressed_tensors  # noqa: F401, emulates the arithmetic where the device has none
import torch
from transformers import AutoModelForCausalLM, CompressedTensorsConfig


def load(folder: str | Path, entry: dict, placement: Any) -> Any:
    """What is not FP8 computes in `entry["compute_dtype"]`."""
    return AutoModelForCausalLM.from_pretrained(
        folder,
        device_map=placement,
        dtype=getattr(torch, entry["compute_dtype"]),
        quantization_config=CompressedTensorsConfig(use_optimized_inference=True),
    )
