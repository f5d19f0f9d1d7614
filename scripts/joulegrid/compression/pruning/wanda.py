"""Wanda: weights are pruned by |W|·‖X‖₂ within each output row; weights that stay are not changed.

‖X‖₂ is the norm of their input over calibration tokens (Sun et al. 2024, arXiv 2306.11695, equation
1).
"""

import torch
from torch import nn

from joulegrid.compression.pruning import masks
from joulegrid.compression.streaming import prune_blocks

verify = masks.verify


class InputNorm:
    """Sum of squares of every input feature of a layer over the calibration tokens."""

    def __init__(self, layer: nn.Linear):
        device = layer.weight.device
        self.squares = torch.zeros(layer.in_features, dtype=torch.float64, device=device)

    def add(self, inputs: torch.Tensor) -> None:
        """Add activations of shape (tokens, in_features)."""
        self.squares += inputs.float().square().sum(dim=0, dtype=torch.float64)

    def prune(self, layer: nn.Linear, entry: dict) -> dict:
        """Prune the layer in place; nothing to note."""
        weight = layer.weight.data
        weight[mask(weight, self.squares.sqrt(), entry)] = 0
        return {}


def mask(weight: torch.Tensor, norm: torch.Tensor, entry: dict) -> torch.Tensor:
    """Mask the weights that become zero.

    Parameters
    ----------
    weight
        (outputs, inputs).
    norm
        ‖X_j‖₂ of every input feature j, shape (inputs,).
    entry
        `ratio`: round(ratio · inputs) weights of every row; or `pattern` N:M.

    Returns
    -------
    A Boolean tensor of the shape of `weight`.
    """
    score = weight.abs().double() * norm
    if "pattern" in entry:
        return masks.n_m_mask(score, entry["pattern"])
    return masks.lowest(score, round(entry["ratio"] * weight.shape[1]), dim=1)


def prune(model: nn.Module, entry: dict, calibration: torch.Tensor, device: str) -> dict:
    """Prune `model` in place; arguments and result are those in `joulegrid.compression`."""
    return prune_blocks(model, entry, calibration, device, InputNorm)
