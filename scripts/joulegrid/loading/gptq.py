"""GPTQ weights, run by a kernel of gptqmodel."""

import gptqmodel
import optimum  # noqa: F401, transformers loads GPTQ weights through it
import torch
from transformers import AutoModelForCausalLM, GPTQConfig

BITS_OF_TRANSFORMERS = (2, 3, 4, 8)


def load(folder: str, entry: dict, placement):
    """`entry["kernel"]` is a backend of gptqmodel, "auto" leaves the choice to it."""
    dtype = getattr(torch, entry["compute_dtype"])
    if entry["bits"] not in BITS_OF_TRANSFORMERS:  # 5, 6, 7: gptqmodel's own loader knows them too
        place = {"device": placement} if placement == "cpu" else {"device_map": placement}
        backend = gptqmodel.BACKEND(entry["kernel"])
        return gptqmodel.GPTQModel.load(str(folder), backend=backend, dtype=dtype, **place).model
    return AutoModelForCausalLM.from_pretrained(
        folder,
        device_map=placement,
        dtype=dtype,
        quantization_config=GPTQConfig(bits=entry["bits"], backend=entry["kernel"]),
    )
