"""The weights in another floating point type; transformers casts while it loads."""

from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM


def load(folder: str | Path, entry: dict, placement: Any) -> Any:
    """The weights in `entry["dtype"]`."""
    return AutoModelForCausalLM.from_pretrained(
        folder, device_map=placement, dtype=getattr(torch, entry["dtype"])
    )
