"""Magnitude pruning: the smallest weights of every linear layer become zero (Han et al. 2015, arXiv 1506.02626).

Either a ratio of each layer's weights (unstructured), or N:M (Zhou et al. 2021, arXiv 2102.04010): of every M weights
that lie side by side along the input dimension, the N largest stay. The head and what is tied to it stay dense.
"""

import torch
from torch import nn

from joulegrid.findings import Unsupported
from joulegrid.records import InputError


def prune(model: nn.Module, entry: dict) -> dict[str, float]:
    """Prune `model` in place.

    Parameters
    ----------
    entry
        `ratio`, the share of weights of each layer that becomes zero, or `pattern` "N:M".

    Returns
    -------
    layer name -> share of its weights that are zero now

    Raises
    ------
    Unsupported
        where the model has no linear layer, or a layer's input dimension is not a multiple of M.
    """
    layers = linear_layers(model)
    if not layers:
        raise Unsupported(
            f"{type(model).__name__}: no nn.Linear layers to prune (layers of other kinds are not supported)"
        )
    sparsity = {}
    for name, layer in layers.items():
        weight = layer.weight.data
        try:
            zero = zero_mask(weight, **{key: entry[key] for key in ("ratio", "pattern") if key in entry})
        except Unsupported as error:
            raise Unsupported(f"{name}: {error}") from None
        weight[zero] = 0
        sparsity[name] = (weight == 0).float().mean(dtype=torch.float64).item()
    return sparsity


def linear_layers(model: nn.Module) -> dict[str, nn.Linear]:
    """The linear layers by name, without the output embedding."""
    head = model.get_output_embeddings() if hasattr(model, "get_output_embeddings") else None
    return {name: m for name, m in model.named_modules() if isinstance(m, nn.Linear) and m is not head}


def zero_mask(weight: torch.Tensor, ratio: float | None = None, pattern: str | None = None) -> torch.Tensor:
    """Which weights of a layer (outputs × inputs) become zero.

    `ratio`: exactly round(ratio · weights) of them. `pattern` "N:M": exactly M − N of every M neighbours in a row.
    """
    size = weight.abs()
    mask = torch.zeros(weight.numel(), dtype=torch.bool, device=weight.device)
    if ratio is not None:
        smallest = size.flatten().topk(round(ratio * weight.numel()), largest=False).indices
        return mask.scatter_(0, smallest, True).view_as(weight)
    keep, group = map(int, pattern.split(":"))
    if weight.shape[1] % group:
        raise Unsupported(f"the input dimension {weight.shape[1]} is not a multiple of {group}, as {pattern} needs")
    groups = size.reshape(-1, group)
    smallest = groups.topk(group - keep, dim=1, largest=False).indices
    return mask.view(-1, group).scatter_(1, smallest, True).view_as(weight)


def verify(model: nn.Module, entry: dict) -> None:
    """Check the pattern on the weights as they were saved and loaded again.

    Raises
    ------
    InputError
        naming the first layer that has too few zeros.
    """
    for name, layer in linear_layers(model).items():
        zero = layer.weight.data == 0
        if "ratio" in entry:
            enough = int(zero.sum()) >= round(entry["ratio"] * zero.numel())
        else:
            keep, group = map(int, entry["pattern"].split(":"))
            enough = bool((zero.reshape(-1, group).sum(dim=1) >= group - keep).all())
        if not enough:
            raise InputError(f"{name}: the saved weights do not have the zeros that were asked for; prune them again")
