"""GGUF weights for transformers, which dequantizes them: the numbers of the file, speed and memory
of dense weights.

Quality is evaluated this way. llama.cpp (engine llamacpp) runs the quantized weights themselves.
"""

from pathlib import Path
from typing import Any

import gguf  # noqa: F401, transformers reads the file with it
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from joulegrid.jobs import failures


def load(folder: str | Path, entry: dict, placement: Any) -> Any:
    """Raises Unsupported where transformers cannot read a GGUF file of this architecture."""
    dtype = getattr(torch, entry["compute_dtype"])
    # The model's own configuration: the one that transformers makes of the file's metadata lacks
    # rope scaling
    config = AutoConfig.from_pretrained(folder)
    try:
        return AutoModelForCausalLM.from_pretrained(
            folder, config=config, gguf_file="model.gguf", device_map=placement, dtype=dtype
        )
    except ValueError as error:
        raise failures.of_library(error) from None
