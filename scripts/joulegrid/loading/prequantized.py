"""Weights that somebody else quantized: their own configuration says how, and these libraries run them."""

import bitsandbytes  # noqa: F401
import compressed_tensors  # noqa: F401
import gptqmodel  # noqa: F401
import optimum  # noqa: F401
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from joulegrid.findings import Unsupported
from joulegrid.loading.gptq import load_by_gptqmodel

# transformers would ask for the package vptq, whose own requirements fit no current environment
BY_GPTQMODEL = {"vptq"}


def load(folder: str, entry: dict, placement):
    """Raises Unsupported where a library that the format needs is not in the environment."""
    dtype = getattr(torch, entry["compute_dtype"])
    if AutoConfig.from_pretrained(folder).quantization_config.get("quant_method") in BY_GPTQMODEL:
        return load_by_gptqmodel(folder, "auto", dtype, placement)
    try:
        return AutoModelForCausalLM.from_pretrained(folder, device_map=placement, dtype=dtype)
    except ImportError as error:
        raise Unsupported(str(error).strip().splitlines()[0]) from None
