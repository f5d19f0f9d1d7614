"""The weights in another floating point type; transformers casts while it loads."""

import torch


def load_options(entry: dict) -> dict:
    """Arguments of from_pretrained for `entry["dtype"]`."""
    return {"dtype": getattr(torch, entry["dtype"])}
