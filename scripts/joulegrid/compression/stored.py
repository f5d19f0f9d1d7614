"""Stored tensors, one after the other."""

from collections.abc import Iterator
from pathlib import Path

import torch
from safetensors import safe_open

from joulegrid.models.describe import weight_files


def tensors(folder: Path) -> Iterator[tuple[str, torch.Tensor]]:
    """Name and values of every tensor in the safetensors of `folder`."""
    for path in weight_files(folder):
        with safe_open(path, "pt") as stream:
            for name in stream.keys():  # noqa: SIM118, it is no dict
                yield name, stream.get_tensor(name)
