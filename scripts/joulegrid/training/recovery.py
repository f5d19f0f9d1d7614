"""LoRA (Hu et al. 2021, arXiv 2106.09685) on the weights that pruning left: it keeps every zero.

W becomes W + M ⊙ (α/r)·B·A, where M is 0 wherever W is: merged weights have the zeros of the pruned
ones, so that an N:M pattern survives. (Adapters of peft would be merged without the mask and fill
the zeros.)
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.nn.utils import parametrize

from joulegrid.compression.modules import linear_layers, placed
from joulegrid.errors import InputError
from joulegrid.jobs.run import say
from joulegrid.models.context import context_of
from joulegrid.texts.calibration import calibration_tokens


class MaskedLowRank(nn.Module):
    """The parametrization W -> W + M ⊙ scale·B·A of one linear layer.

    A starts at random, B at zero, so that nothing changes yet.
    """

    def __init__(self, weight: torch.Tensor, rank: int, scale: float):
        super().__init__()
        outputs, inputs = weight.shape
        self.scale = scale
        self.down = nn.Parameter(torch.randn(rank, inputs, device=weight.device) / rank)
        self.up = nn.Parameter(torch.zeros(outputs, rank, device=weight.device))
        self.register_buffer("mask", weight != 0, persistent=False)

    def forward(self, weight: torch.Tensor) -> torch.Tensor:
        """Add the update to `weight` (outputs, inputs), in its type."""
        return weight + self.mask * (self.scale * (self.up @ self.down)).to(weight.dtype)


def recover(model: nn.Module, tokenizer: Any, entry: dict, device: str, seed: int) -> dict:
    """Train masked low-rank updates of all linear layers on pieces of a text, and merge them.

    Parameters
    ----------
    entry
        `text`, `tokens` per sample, `steps` of `batch_size` samples, `rank`, `alpha`,
        `learning_rate`.

    Returns
    -------
    `loss_nats`: the loss (nats per token) of every step.

    Raises
    ------
    InputError
        where a loss is no number, or the samples are longer than the model's context.
    """
    torch.manual_seed(seed)
    drawn = {**entry, "samples": entry["steps"] * entry["batch_size"]}
    samples = calibration_tokens(drawn, tokenizer, seed, context_of(model.config))
    batches = samples.split(entry["batch_size"])
    model.requires_grad_(False)
    with placed(model, device), _low_rank_updates(model, entry) as parameters:
        optimizer = torch.optim.AdamW(parameters, lr=entry["learning_rate"])
        losses = [
            _step(model, batch.to(device), optimizer, number)
            for number, batch in enumerate(batches)
        ]
    return {"loss_nats": losses}


@contextmanager
def _low_rank_updates(model: nn.Module, entry: dict) -> Iterator[Iterable[nn.Parameter]]:
    """Give every linear layer an update, whose parameters are yielded; merge them at the end."""
    layers = linear_layers(model).values()
    scale = entry["alpha"] / entry["rank"]
    for layer in layers:
        update = MaskedLowRank(layer.weight, entry["rank"], scale)
        parametrize.register_parametrization(layer, "weight", update)
    try:
        yield [parameter for parameter in model.parameters() if parameter.requires_grad]
    finally:
        for layer in layers:
            parametrize.remove_parametrizations(layer, "weight", leave_parametrized=True)
        model.requires_grad_(False)


def _step(
    model: nn.Module, batch: torch.Tensor, optimizer: torch.optim.Optimizer, number: int
) -> float:
    """Take a step on token ids (samples, tokens); the loss before it, nats per token."""
    loss = model(input_ids=batch, labels=batch, use_cache=False).loss
    if not torch.isfinite(loss):
        raise InputError(
            f"recovery: the loss of step {number} is {loss.item()}; lower learning_rate"
        )
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    say(f"recovery step {number}: loss {loss.item():.4f}")
    return loss.item()
