"""Magnitude pruning: the smallest weights become zero (Han et al. 2015, arXiv 1506.02626).

`scope: layer` prunes every layer by the same ratio, `global` compares the weights of all layers with each other.
"""

import torch
from torch import nn

from joulegrid.compression import masks
from joulegrid.compression.modules import linear_layers
from joulegrid.findings import Unsupported

verify = masks.verify


def prune(model: nn.Module, entry: dict, calibration: torch.Tensor | None = None, device: str = "cpu") -> dict:
    """Prune `model` in place; see `joulegrid.compression` for the arguments and what is returned."""
    layers = linear_layers(model, entry.get("modules"))
    if entry.get("scope") == "global":
        prune_globally([layer.weight.data for layer in layers.values()], entry["ratio"])
    else:
        for name, layer in layers.items():
            try:
                _prune_layer(layer.weight.data, entry, device)
            except Unsupported as error:
                raise Unsupported(f"{name}: {error}") from None
    return {}


def _prune_layer(weight: torch.Tensor, entry: dict, device: str) -> None:
    size = weight.to(device).abs()
    if "pattern" in entry:
        zero = masks.n_m_mask(size, entry["pattern"])
    else:
        zero = masks.lowest(size, round(entry["ratio"] * size.numel()))
    weight[zero.to(weight.device)] = 0


def prune_globally(weights: list[torch.Tensor], ratio: float) -> None:
    """Set exactly round(ratio · all) weights to zero, in place: the smallest of all tensors together.

    The threshold is found by counting: the bits of non-negative floats order as the floats do, so that two histograms
    (upper and lower 16 bits) give the k-th smallest value exactly, without a copy of all weights.
    """
    count = round(ratio * sum(weight.numel() for weight in weights))
    upper, before = _bin_of(weights, count, lambda bits: bits >> 16)
    lower, before = _bin_of(weights, count - before, lambda bits: (bits & 0xFFFF)[bits >> 16 == upper], before)
    threshold = (upper << 16) | lower
    ties = count - before
    for weight in weights:
        bits = _bits(weight)
        zero = bits < threshold
        at = (bits == threshold).nonzero()[: max(ties, 0)]
        ties -= len(at)
        zero[at] = True
        weight[zero.view_as(weight)] = 0


def _bits(weight: torch.Tensor) -> torch.Tensor:
    return weight.float().abs().flatten().view(torch.int32)


def _bin_of(weights, count, key, before=0) -> tuple[int, int]:
    """The bin that the count-th smallest value falls into, and how many values lie below that bin (plus `before`)."""
    histogram = sum(torch.bincount(key(_bits(weight)), minlength=1 << 16) for weight in weights)
    total = histogram.cumsum(0)
    found = int(torch.searchsorted(total, max(count, 1)))
    return found, before + (int(total[found - 1]) if found else 0)
