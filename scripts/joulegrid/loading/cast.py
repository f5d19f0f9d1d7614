"""The weights in another floating point type; transformers casts while it loads."""

import torch
from transformers import AutoModelForCausalLM


def load(folder: str, entry: dict, placement):
    return AutoModelForCausalLM.from_pretrained(folder, device_map=placement, dtype=getattr(torch, entry["dtype"]))
