"""2:4 sparse tensor cores: weights of which 2 in every 4 neighbours are zero, multiplied without
the zeros.

Masked weights in dense storage save nothing: every zero is read and multiplied like any other
number. GPUs of compute capability 8.0 and later have instructions that skip them (Mishra et al.
2021, arXiv 2104.08378).
"""

import torch
from torch import nn

from joulegrid.errors import Unsupported
from joulegrid.jobs.run import say

CAPABILITY = (8, 0)
# What cuSPARSELt and CUTLASS ask of 16-bit matrices
ROWS, COLUMNS = 32, 64


def require(hardware: dict) -> None:
    """Raises Unsupported where the device has no sparse tensor cores."""
    if hardware["device"] != "cuda":
        raise Unsupported(
            "sparse_kernels needs an NVIDIA GPU of compute capability 8.0 or later, this is a CPU"
        )
    found = torch.cuda.get_device_capability()
    if found < CAPABILITY:
        raise Unsupported(
            "sparse_kernels needs compute capability 8.0 or later, this GPU has "
            f"{found[0]}.{found[1]}"
        )


def convert(model: nn.Module) -> None:
    """Store every 2:4 sparse weight of `model` compressed, in place.

    Raises Unsupported where the weights are no 16-bit floats, or none is 2:4 sparse.
    """
    converted = 0
    for layer in convertible(model):
        layer.weight = nn.Parameter(
            torch.sparse.to_sparse_semi_structured(layer.weight.data), requires_grad=False
        )
        converted += 1
    say(f"{converted} layers run on sparse tensor cores")


def convertible(model: nn.Module) -> list[nn.Linear]:
    """The layers that sparse tensor cores can run.

    Raises Unsupported where there is none.
    """
    layers = [
        m
        for m in model.modules()
        if type(m) is nn.Linear and m is not model.get_output_embeddings()
    ]
    dense = [layer for layer in layers if layer.weight.dtype in (torch.float16, torch.bfloat16)]
    if not dense:
        raise Unsupported(
            "sparse_kernels needs weights in float16 or bfloat16: choose a cast as quantization"
        )
    found = [layer for layer in dense if is_two_four(layer.weight.data)]
    if not found:
        raise Unsupported(
            'sparse_kernels needs weights pruned with pattern "2:4"; no layer has that pattern'
        )
    return found


def is_two_four(weight: torch.Tensor) -> bool:
    """Whether at least 2 of every 4 neighbours in a row are zero, and the matrix has a size the
    kernels take.
    """
    if weight.shape[0] % ROWS or weight.shape[1] % COLUMNS:
        return False
    return bool(((weight == 0).reshape(-1, 4).sum(dim=1) >= 2).all())
