"""Masks of unstructured pruning: which weights of a layer become zero, exactly as many as asked.

A ratio is a share of all weights that are compared with each other. N:M (Zhou et al. 2021, arXiv
2102.04010): of every M weights that lie side by side along the input dimension the N best stay.
"""

import torch
from torch import nn

from joulegrid.compression.modules import linear_layers
from joulegrid.errors import InputError, Unsupported


def lowest(score: torch.Tensor, count: int, dim: int | None = None) -> torch.Tensor:
    """Mask the `count` lowest scores, of all or along `dim`; exactly as many, whatever the ties."""
    if dim is None:
        return lowest(score.flatten(), count, 0).view_as(score)
    chosen = score.topk(count, dim=dim, largest=False).indices
    return torch.zeros_like(score, dtype=torch.bool).scatter_(dim, chosen, True)


def n_m_mask(score: torch.Tensor, pattern: str) -> torch.Tensor:
    """Mask the M − N lowest scores in every M neighbours of a row; `score` is (outputs, inputs).

    Raises
    ------
    Unsupported
        where M does not divide the inputs.
    """
    keep, group = n_m(pattern)
    if score.shape[1] % group:
        raise Unsupported(
            f"the input dimension {score.shape[1]} is not a multiple of {group}, as {pattern} needs"
        )
    return lowest(score.reshape(-1, group), group - keep, dim=1).view_as(score)


def n_m(pattern: str) -> tuple[int, int]:
    """Take a pattern apart: (2, 4) for "2:4"."""
    keep, group = map(int, pattern.split(":"))
    return keep, group


def verify(model: nn.Module, entry: dict) -> None:
    """Check that weights, as they were saved and loaded again, have the zeros that were asked for.

    Raises
    ------
    InputError
        naming the first layer that has too few.
    """
    layers = linear_layers(model, entry.get("modules"))
    if entry.get("scope") == "global":
        total = sum(layer.weight.numel() for layer in layers.values())
        zeros = sum(int((layer.weight == 0).sum()) for layer in layers.values())
        short = [] if zeros >= round(entry["ratio"] * total) else ["all layers together"]
    else:
        short = [n for n, layer in layers.items() if not _enough(layer.weight == 0, entry)]
    if short:
        raise InputError(
            f"{short[0]}: the saved weights do not have the zeros that were asked for; "
            "prune them again"
        )


def _enough(zero: torch.Tensor, entry: dict) -> bool:
    if "pattern" in entry:
        keep, group = n_m(entry["pattern"])
        return bool((zero.reshape(-1, group).sum(dim=1) >= group - keep).all())
    # Wanda rounds per row, so that a layer may be short of half a weight in each
    return int(zero.sum()) >= zero.shape[0] * (entry["ratio"] * zero.shape[1] - 0.5) - 0.5
