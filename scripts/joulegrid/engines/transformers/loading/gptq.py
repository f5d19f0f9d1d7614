"""GPTQ weights, run by a kernel of gptqmodel."""

from pathlib import Path
from typing import Any

import gptqmodel
import optimum  # noqa: F401, transformers loads GPTQ weights through it
import torch
from transformers import AutoModelForCausalLM, GPTQConfig

BITS_OF_TRANSFORMERS = (2, 3, 4, 8)


def load(folder: str | Path, entry: dict, placement: Any) -> Any:
    """`entry["kernel"]` is a backend of gptqmodel, "auto" leaves the choice to it."""
    dtype = getattr(torch, entry["compute_dtype"])
    if entry["bits"] not in BITS_OF_TRANSFORMERS:
        return load_by_gptqmodel(folder, entry["kernel"], dtype, placement)
    return AutoModelForCausalLM.from_pretrained(
        folder,
        device_map=placement,
        dtype=dtype,
        quantization_config=GPTQConfig(bits=entry["bits"], backend=entry["kernel"]),
    )


def load_by_gptqmodel(folder: str | Path, kernel: str, dtype: torch.dtype, placement: Any) -> Any:
    """Gptqmodel's own loader knows bits and formats that transformers does not; its models are
    transformers' own.
    """
    place = {"device": placement} if placement == "cpu" else {"device_map": placement}
    return gptqmodel.GPTQModel.load(
        str(folder), backend=gptqmodel.BACKEND(kernel), dtype=dtype, **place
    ).model
