"""AWQ weights, run by a kernel of gptqmodel."""

import gptqmodel  # noqa: F401, its kernels run the weights
import torch
from transformers import AutoModelForCausalLM, AwqConfig


def load(folder: str, entry: dict, placement):
    """`entry["kernel"]` is a backend of transformers' AwqConfig, "auto" leaves the choice to gptqmodel."""
    return AutoModelForCausalLM.from_pretrained(
        folder,
        device_map=placement,
        dtype=getattr(torch, entry["compute_dtype"]),
        quantization_config=AwqConfig(bits=entry["bits"], group_size=entry["group_size"], backend=entry["kernel"]),
    )
