"""SparseGPT (Frantar and Alistarh 2023, arXiv 2301.00774, algorithm 1): weights are pruned column by column, and the
weights to their right are changed so that the layer's output on calibration tokens stays close."""

import torch
from torch import nn

from joulegrid.compression import masks
from joulegrid.compression.streaming import prune_blocks

verify = masks.verify

BLOCK = 128  # columns whose updates are applied together; the result does not depend on it, but for rounding
# Share of the Hessian's mean diagonal that is added to it; the next one where the factorization fails
DAMPENING = (0.01, 0.1, 1.0, 10.0)


class Hessian:
    """XᵀX over the calibration tokens, (inputs × inputs): the Hessian of ‖WX − ŴX‖² up to a factor."""

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
    """Prune `model` in place; see `joulegrid.compression` for the arguments and what is returned."""
    return prune_blocks(model, entry, calibration, device, Hessian)


def prune_matrix(weight: torch.Tensor, hessian: torch.Tensor, entry: dict) -> tuple[torch.Tensor, float]:
    """The pruned and compensated matrix, and the dampening.

    Parameters
    ----------
    weight
        (rows, columns).
    hessian
        XᵀX, (columns, columns).
    entry
        `ratio` or `pattern`. With a ratio the mask is chosen over all rows of a block of columns at once, with N:M for
        every M columns when the sweep reaches them.

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
    if "pattern" in entry:
        masks.n_m_mask(weight[:1], entry["pattern"])  # refuses what M does not divide
        group = masks.n_m(entry["pattern"])[1]
        width = max(BLOCK // group, 1) * group
    else:
        width = BLOCK
    for begin in range(0, weight.shape[1], width):
        end = min(begin + width, weight.shape[1])
        errors = _sweep(weight[:, begin:end], factor[begin:end, begin:end], entry, begin)
        weight[:, end:] -= errors @ factor[begin:end, end:]
    return weight, dampening


def _sweep(block: torch.Tensor, factor: torch.Tensor, entry: dict, begin: int) -> torch.Tensor:
    """Prune one block of columns in place; returns the scaled errors (rows × columns of the block)."""
    rows, columns = block.shape
    scale = factor.diagonal()
    if "ratio" in entry:
        # counted from the left edge of the matrix, so that the whole layer has exactly round(ratio · weights) zeros
        ratio = entry["ratio"]
        count = round(ratio * rows * (begin + columns)) - round(ratio * rows * begin)
        zero = masks.lowest((block / scale).square(), count)
    else:
        zero = torch.zeros_like(block, dtype=torch.bool)
        group = masks.n_m(entry["pattern"])[1]
    errors = torch.zeros_like(block)
    for j in range(columns):
        if "pattern" in entry and j % group == 0:
            score = (block[:, j : j + group] / scale[j : j + group]).square()
            zero[:, j : j + group] = masks.n_m_mask(score, entry["pattern"])
        errors[:, j] = torch.where(zero[:, j], block[:, j], 0) / scale[j]
        block[:, j:] -= errors[:, j, None] * factor[j, j:]
        block[zero[:, j], j] = 0  # exactly, whatever rounding leaves
    return errors


def inverse_factor(hessian: torch.Tensor) -> tuple[torch.Tensor, float]:
    """The upper Cholesky factor U of the inverse, H⁻¹ = UᵀU, of the dampened Hessian; and the dampening.

    Too few tokens make H singular; then more of its mean diagonal is added until it can be factored.
    """
    mean = hessian.diagonal().mean()
    for dampening in DAMPENING:
        dampened = hessian + dampening * mean * torch.eye(len(hessian), dtype=hessian.dtype, device=hessian.device)
        lower, failed = torch.linalg.cholesky_ex(dampened)
        if failed:
            continue
        upper, failed = torch.linalg.cholesky_ex(torch.cholesky_inverse(lower), upper=True)
        if not failed and torch.isfinite(upper).all():
            return upper, dampening
    raise ArithmeticError(f"the Hessian cannot be factored, even with {DAMPENING[-1]:g} of its mean diagonal added")
