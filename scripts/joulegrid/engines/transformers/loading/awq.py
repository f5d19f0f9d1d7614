"""AWQ weights, run by a kernel of gptqmodel."""

from pathlib import Path
from typing import Any

import gptqmodel  # noqa: F401, its kernels run the weights
import torch
from transformers import AutoModelForCausalLM, AwqConfig


def load(folder: str | Path, entry: dict, placement: Any) -> Any:
    """`entry["kernel"]` is a backend of transformers' AwqConfig, "auto" leaves the choice to
    gptqmodel.
    """
    return AutoModelForCausalLM.from_pretrained(
        folder,
        device_map=placement,
        dtype=getattr(torch, entry["compute_dtype"]),
        quantization_config=AwqConfig(
            bits=entry["bits"], group_size=entry["group_size"], backend=entry["kernel"]
        ),
    )
