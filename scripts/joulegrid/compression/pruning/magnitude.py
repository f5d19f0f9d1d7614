"""Magnitude pruning: the smallest weights become zero (Han et al. 2015, arXiv 1506.02626).

`scope: layer` prunes every layer by the same ratio, `global` compares the weights of all layers.
"""

from collections.abc import Callable

import torch
from torch import nn

from joulegrid.compression.modules import linear_layers
from joulegrid.compression.pruning import masks
from joulegrid.errors import Unsupported

verify = masks.verify


def prune(
    model: nn.Module, entry: dict, calibration: torch.Tensor | None = None, device: str = "cpu"
) -> dict:
    """Prune `model` in place; arguments and result are those in `joulegrid.compression`."""
    layers = linear_layers(model, entry.get("modules"))
    if entry.get("scope") == "global":
        prune_globally([layer.weight.data for layer in layers.values()], entry["ratio"])
        return {}
    for name, layer in layers.items():
        try:
            prune_matrix(layer.weight.data, entry, device)
        except Unsupported as error:
            raise Unsupported(f"{name}: {error}") from None
    return {}


def prune_matrix(weight: torch.Tensor, entry: dict, device: str = "cpu") -> None:
    """Set the smallest weights of a matrix (outputs, inputs) to zero, in place.

    Parameters
    ----------
    entry
        `ratio`: round(ratio · weights) of them; or `pattern` N:M.

    Raises
    ------
    Unsupported
        where M does not divide the inputs.
    """
    size = weight.to(device).abs()
    if "pattern" in entry:
        zero = masks.n_m_mask(size, entry["pattern"])
    else:
        zero = masks.lowest(size, round(entry["ratio"] * size.numel()))
    weight[zero.to(weight.device)] = 0


def prune_globally(weights: list[torch.Tensor], ratio: float) -> None:
    """Set exactly round(ratio · all) weights to zero, in place: the smallest of all tensors.

    The threshold is found by counting: the bits of non-negative floats order as the floats do, so
    that two histograms (upper and lower 16 bits) give the k-th smallest value exactly, without a
    copy of all weights.
    """
    count = round(ratio * sum(weight.numel() for weight in weights))
    upper, below = _bin_of(weights, count, lambda bits: bits >> 16)
    lower, within = _bin_of(
        weights, count - below, lambda bits: (bits & 0xFFFF)[bits >> 16 == upper]
    )
    threshold = (upper << 16) | lower
    ties = count - below - within
    for weight in weights:
        bits = _bits(weight)
        zero = bits < threshold
        at = (bits == threshold).nonzero()[: max(ties, 0)]
        ties -= len(at)
        zero[at] = True
        weight[zero.view_as(weight)] = 0


def _bits(weight: torch.Tensor) -> torch.Tensor:
    return weight.float().abs().flatten().view(torch.int32)


def _bin_of(
    weights: list[torch.Tensor], count: int, key: Callable[[torch.Tensor], torch.Tensor]
) -> tuple[int, int]:
    """Find the bin of `key` that the count-th smallest value is in, and how many lie below it."""
    counts = [torch.bincount(key(_bits(weight)), minlength=1 << 16) for weight in weights]
    total = torch.stack(counts).sum(dim=0).cumsum(0)
    number = int(torch.searchsorted(total, max(count, 1)))
    return number, int(total[number - 1]) if number else 0
