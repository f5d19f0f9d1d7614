"""Gradients of the calibration samples' loss, block by block.

On the way forward, what enters every block is kept; on the way back, last block to first, each
block computes once more and gives its gradients (recomputation: Chen et al. 2016, arXiv
1604.06174). So the device holds one block with its gradients, the samples' hidden states, and what
one sample needs inside of the block. Main memory holds, beside the weights, what enters all blocks:
samples · tokens · hidden size · blocks numbers (of 4 bytes on a CPU). Otherwise the whole model and
its gradients would lie there in float32. It costs one forward pass more.

What goes back is float32 on every device: gradients are too small for 16-bit floats.
"""

from collections.abc import Iterator

import torch
from torch import nn

from joulegrid.compression.modules import decoder_blocks, modules_beside, placed
from joulegrid.compression.streaming import BlockPass, replaced, stream
from joulegrid.errors import InputError


def block_gradients(
    model: nn.Module, calibration: torch.Tensor, device: str
) -> Iterator[tuple[int, nn.Module]]:
    """Yield (number, block), last block first, with ∂L/∂w in the `grad` of each of its parameters.

    L is the cross entropy of every next token (nats), the mean over all tokens of all samples. The
    block is on `device`; its gradients are dropped when the next one is asked for.

    Parameters
    ----------
    calibration
        token ids, shape (samples, tokens).

    Raises
    ------
    InputError
        where the loss of a sample is not a finite number.
    """
    _, blocks = decoder_blocks(model)
    passes: list[BlockPass] = []
    for passing in stream(model, calibration, device, changes=False):
        outputs = passing.run()
        passes.append(passing.to("cpu"))
    gradients = _gradients_of_outputs(model, blocks, calibration, outputs, device)
    while passes:
        passing = passes.pop()
        with placed(passing.block, device, torch.float32) as dtype:
            gradients = _gradients_of_inputs(passing.to(device, dtype), gradients)
            yield passing.number, passing.block
            passing.block.zero_grad()


def _gradients_of_outputs(
    model: nn.Module,
    blocks: nn.ModuleList,
    calibration: torch.Tensor,
    outputs: list[torch.Tensor],
    device: str,
) -> list[torch.Tensor]:
    """∂L/∂(what leaves the last block), per sample: through the last norm and the head."""
    gradients: list[torch.Tensor] = []
    with placed(modules_beside(model, blocks), device, torch.float32) as dtype:
        for sample, output in zip(calibration.to(device), outputs, strict=True):
            leaving = output.to(device, dtype).detach().requires_grad_()
            loss = _loss(model, blocks, sample, leaving) / len(calibration)
            gradients += torch.autograd.grad(loss, leaving)
    return gradients


def _loss(
    model: nn.Module, blocks: nn.ModuleList, sample: torch.Tensor, leaving: torch.Tensor
) -> torch.Tensor:
    """Compute the loss of one sample (tokens,) where `leaving` is what leaves the blocks."""
    with replaced(blocks, lambda *_, **__: leaving):
        loss = model(input_ids=sample[None], labels=sample[None], use_cache=False).loss
    if not torch.isfinite(loss):
        raise InputError(
            f"the loss on the calibration text is {loss.item()}: the model overflows in its "
            "precision, or its weights are damaged; store it in bfloat16 or float32"
        )
    return loss


def _gradients_of_inputs(passing: BlockPass, gradients: list[torch.Tensor]) -> list[torch.Tensor]:
    """∂L/∂(what enters the block), per sample; those of its parameters are added up on the way."""
    passing.block.requires_grad_(True)
    entering = [state.detach().requires_grad_() for state in passing.inputs]
    for state, gradient in zip(entering, gradients, strict=True):
        passing.output(state).backward(gradient)
    return [state.grad for state in entering]
