"""SparseGPT (Frantar and Alistarh 2023, arXiv 2301.00774, algorithm 1).

Weights are pruned column by column, and the weights to their right are changed so that the layer's
output on calibration tokens stays close.
"""

import torch
from torch import nn

from joulegrid.compression.pruning import masks
from joulegrid.compression.streaming import prune_blocks

verify = masks.verify

# Columns whose updates are applied together; the result does not depend on it, but for rounding
BLOCK = 128
# Share of the Hessian's mean diagonal that is added to it; the next one where that fails
DAMPENING = (0.01, 0.1, 1.0, 10.0)


class Hessian:
    """XᵀX over the calibration tokens, (inputs, inputs): the Hessian of ‖WX − ŴX‖², halved."""

    def __init__(self, layer: nn.Linear):
        size = layer.in_features
        self.products = torch.zeros(size, size, device=layer.weight.device)

    def add(self, inputs: torch.Tensor) -> None:
        """Add activations of shape (tokens, in_features)."""
        inputs = inputs.float()
        self.products.addmm_(inputs.T, inputs)

    def prune(self, layer: nn.Linear, entry: dict) -> dict:
        """Prune the layer in place; returns the dampening that was needed."""
        new, dampening = prune_matrix(layer.weight.data.float(), self.products, entry)
        layer.weight.data.copy_(new)
        return {"dampening": dampening}


def prune(model: nn.Module, entry: dict, calibration: torch.Tensor, device: str) -> dict:
    """Prune `model` in place; arguments and result are those in `joulegrid.compression`."""
    return prune_blocks(model, entry, calibration, device, Hessian)


def prune_matrix(
    weight: torch.Tensor, hessian: torch.Tensor, entry: dict
) -> tuple[torch.Tensor, float]:
    """Prune a matrix and compensate for it.

    Parameters
    ----------
    weight
        (rows, columns).
    hessian
        XᵀX, (columns, columns).
    entry
        `ratio` or `pattern`. With a ratio the mask is chosen over all rows of a block of columns at
        once, with N:M for every M columns when the sweep reaches them.

    Returns
    -------
    The new matrix (rows, columns), and the dampening that was needed.

    Raises
    ------
    Unsupported
        where M does not divide the columns.
    """
    weight, hessian = weight.clone(), hessian.double()
    dead = hessian.diagonal() == 0  # inputs that never were anything but zero
    hessian.diagonal()[dead] = 1
    weight[:, dead] = 0
    factor, dampening = inverse_factor(hessian)
    factor = factor.to(weight.dtype)
    width = BLOCK
    if "pattern" in entry:
        masks.n_m_mask(weight[:1], entry["pattern"])  # refuses what M does not divide
        group = masks.n_m(entry["pattern"])[1]
        width = max(BLOCK // group, 1) * group
    for begin in range(0, weight.shape[1], width):
        end = min(begin + width, weight.shape[1])
        errors = _sweep(weight[:, begin:end], factor[begin:end, begin:end], entry, begin)
        weight[:, end:] -= errors @ factor[begin:end, end:]
    return weight, dampening


def _sweep(block: torch.Tensor, factor: torch.Tensor, entry: dict, begin: int) -> torch.Tensor:
    """Prune one block of columns in place; returns the scaled errors, of the block's shape."""
    scale = factor.diagonal()
    if "ratio" in entry:
        zero = _mask_of_ratio(block / scale, entry["ratio"], begin)
    else:
        zero = torch.zeros_like(block, dtype=torch.bool)
        group = masks.n_m(entry["pattern"])[1]
    errors = torch.zeros_like(block)
    for j in range(block.shape[1]):
        if "pattern" in entry and j % group == 0:
            score = (block[:, j : j + group] / scale[j : j + group]).square()
            zero[:, j : j + group] = masks.n_m_mask(score, entry["pattern"])
        errors[:, j] = torch.where(zero[:, j], block[:, j], 0) / scale[j]
        block[:, j:] -= errors[:, j, None] * factor[j, j:]
        block[zero[:, j], j] = 0  # exactly, whatever rounding leaves
    return errors


def _mask_of_ratio(scaled: torch.Tensor, ratio: float, begin: int) -> torch.Tensor:
    """Mask the smallest of a block that begins at column `begin`: round(ratio · weights) of all."""
    rows, columns = scaled.shape
    count = round(ratio * rows * (begin + columns)) - round(ratio * rows * begin)
    return masks.lowest(scaled.square(), count)


def inverse_factor(hessian: torch.Tensor) -> tuple[torch.Tensor, float]:
    """Factor the inverse of the dampened Hessian: H⁻¹ = UᵀU, U upper triangular.

    Too few tokens make H singular; then more of its mean diagonal is added, until it can be.

    Returns
    -------
    U, and the dampening.

    Raises
    ------
    ArithmeticError
        where it cannot be factored with the largest of `DAMPENING` either.
    """
    mean = hessian.diagonal().mean()
    unit = torch.eye(len(hessian), dtype=hessian.dtype, device=hessian.device)
    for dampening in DAMPENING:
        lower, failed = torch.linalg.cholesky_ex(hessian + dampening * mean * unit)
        if failed:
            continue
        upper, failed = torch.linalg.cholesky_ex(torch.cholesky_inverse(lower), upper=True)
        if not failed and torch.isfinite(upper).all():
            return upper, dampening
    raise ArithmeticError(
        f"the Hessian cannot be factored, even with {DAMPENING[-1]:g} of its mean diagonal added"
    )
