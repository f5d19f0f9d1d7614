"""LoRA (Hu et al. 2021, arXiv 2106.09685) on the weights that pruning left: a short recovery that keeps every zero.

W becomes W + M ⊙ (α/r)·B·A, where M is 0 wherever W is: merged weights have the zeros of the pruned ones, so that an
N:M pattern survives. (Adapters of peft would be merged without the mask and fill the zeros.)
"""

import torch
from torch import nn
from torch.nn.utils import parametrize

from joulegrid.calibration import calibration_tokens
from joulegrid.compression.modules import linear_layers, move
from joulegrid.jobs import say
from joulegrid.records import InputError


class MaskedLowRank(nn.Module):
    """The parametrization W -> W + M ⊙ scale·B·A of one linear layer; B starts at zero, so that nothing changes yet."""

    def __init__(self, weight: torch.Tensor, rank: int, scale: float):
        super().__init__()
        outputs, inputs = weight.shape
        self.scale = scale
        self.down = nn.Parameter(torch.randn(rank, inputs, device=weight.device) / rank)
        self.up = nn.Parameter(torch.zeros(outputs, rank, device=weight.device))
        self.register_buffer("mask", weight != 0, persistent=False)

    def forward(self, weight: torch.Tensor) -> torch.Tensor:
        return weight + self.mask * (self.scale * (self.up @ self.down)).to(weight.dtype)


def recover(model: nn.Module, tokenizer, entry: dict, device: str, seed: int) -> dict:
    """Train masked low-rank updates of all linear layers on pieces of a text, and merge them; `model` is changed.

    Parameters
    ----------
    entry
        `text`, `tokens` per sample, `steps` of `batch_size` samples, `rank`, `alpha`, `learning_rate`.

    Returns
    -------
    the loss (nats per token) of every step

    Raises
    ------
    InputError
        where the loss is no number.
    """
    torch.manual_seed(seed)
    drawn = {"text": entry["text"], "tokens": entry["tokens"], "samples": entry["steps"] * entry["batch_size"]}
    batches = calibration_tokens(drawn, tokenizer, seed).split(entry["batch_size"])
    dtypes = move(model, device, torch.float32 if device == "cpu" else next(model.parameters()).dtype)
    model.requires_grad_(False)
    layers = linear_layers(model).values()
    for layer in layers:
        update = MaskedLowRank(layer.weight, entry["rank"], entry["alpha"] / entry["rank"])
        parametrize.register_parametrization(layer, "weight", update)
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=entry["learning_rate"])
    losses = [_step(model, batch.to(device), optimizer, number) for number, batch in enumerate(batches)]
    for layer in layers:
        parametrize.remove_parametrizations(layer, "weight", leave_parametrized=True)
    move(model.requires_grad_(False), "cpu", dtypes)
    return {"loss_nats": losses}


def _step(model: nn.Module, batch: torch.Tensor, optimizer: torch.optim.Optimizer, number: int) -> float:
    loss = model(input_ids=batch, labels=batch, use_cache=False).loss
    if not torch.isfinite(loss):
        raise InputError(f"recovery: the loss of step {number} is {loss.item()}; lower learning_rate")
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    say(f"recovery step {number}: loss {loss.item():.4f}")
    return loss.item()
