"""Weights that somebody else quantized: their own configuration says how, and these libraries run
them.
"""

from pathlib import Path
from typing import Any

import bitsandbytes  # noqa: F401
import compressed_tensors  # noqa: F401
import gptqmodel  # noqa: F401
import optimum  # noqa: F401
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from joulegrid.engines.transformers.loading.gptq import BITS_OF_TRANSFORMERS, load_by_gptqmodel
from joulegrid.errors import Unsupported

# transformers would ask for the package vptq, whose own requirements fit no current environment
BY_GPTQMODEL = {"vptq"}


def load(folder: str | Path, entry: dict, placement: Any) -> Any:
    """Raises Unsupported where a library that the format needs is missing, or transformers does not
    know the format.
    """
    dtype = getattr(torch, entry["compute_dtype"])
    config = AutoConfig.from_pretrained(folder).quantization_config
    odd_bits = (
        config.get("quant_method") == "gptq" and config.get("bits") not in BITS_OF_TRANSFORMERS
    )
    if odd_bits or config.get("quant_method") in BY_GPTQMODEL:
        return load_by_gptqmodel(folder, "auto", dtype, placement)
    try:
        model, report = AutoModelForCausalLM.from_pretrained(
            folder, device_map=placement, dtype=dtype, output_loading_info=True
        )
    except ImportError as error:
        raise Unsupported(str(error).strip().splitlines()[0]) from None
    if report["missing_keys"]:
        # transformers makes random weights of what it does not find, as where it does not know the
        # format
        lost = min(report["missing_keys"])
        raise Unsupported(
            f"transformers does not load weights quantized by {config.get('quant_method')!r}: no "
            f"{lost}"
        )
    return model
