"""Which layers of a model a pruning touches, and where its decoder blocks are."""

from fnmatch import fnmatchcase
from typing import Any

import torch
from torch import nn
from transformers.pytorch_utils import Conv1D

from joulegrid.findings import Unsupported
from joulegrid.records import InputError


def decoder_blocks(model: nn.Module) -> tuple[str, nn.ModuleList]:
    """The list of decoder blocks and its name.

    Raises Unsupported where the model has none, as an encoder-decoder or a state-space model may.
    """
    blocks = model.config.get_text_config().num_hidden_layers
    for name, module in model.named_modules():
        if isinstance(module, nn.ModuleList) and len(module) == blocks:
            return name, module
    raise Unsupported(f"{type(model).__name__}: no list of {blocks} decoder blocks was found")


def linear_layers(model: nn.Module, patterns: list[str] | None = None) -> dict[str, nn.Linear]:
    """The linear layers of the decoder blocks that a pruning touches, by name; never what shares weights with another.

    Parameters
    ----------
    patterns
        shell patterns of names, matched from any dot on ("mlp.*", "layers.0.*", "q_proj"); None: all.

    Raises
    ------
    Unsupported
        where blocks hold weights of kinds that would silently stay dense: Conv1D, experts fused in one tensor.
    InputError
        where a pattern matches no layer.
    """
    _refuse_other_kinds(model)
    inside = f"{decoder_blocks(model)[0]}."
    uses: dict[int, int] = {}
    for module in model.modules():
        weight = getattr(module, "weight", None)
        if weight is not None:
            uses[id(weight)] = uses.get(id(weight), 0) + 1
    found = {
        name: module
        for name, module in model.named_modules()
        if name.startswith(inside) and isinstance(module, nn.Linear) and uses[id(module.weight)] == 1
    }
    if not found:
        raise Unsupported(f"{type(model).__name__}: no nn.Linear layers to prune")
    if patterns is None:
        return found
    unknown = [pattern for pattern in patterns if not any(_matches(name, pattern) for name in found)]
    if unknown:
        kinds = sorted({".".join(name.split(".")[-2:]) for name in found})
        raise InputError(f"modules: {unknown[0]!r} matches no linear layer; there are {', '.join(kinds)}")
    return {name: m for name, m in found.items() if any(_matches(name, pattern) for pattern in patterns)}


def _matches(name: str, pattern: str) -> bool:
    parts = name.split(".")
    return any(fnmatchcase(".".join(parts[start:]), pattern) for start in range(len(parts)))


def _refuse_other_kinds(model: nn.Module) -> None:
    for name, module in model.named_modules():
        if isinstance(module, Conv1D):
            raise Unsupported(f"{name} is a Conv1D (as in GPT-2): only nn.Linear layers can be pruned")
        for own, parameter in module.named_parameters(recurse=False):
            if parameter.dim() == 3 and not isinstance(module, nn.Conv1d):
                raise Unsupported(f"{name}.{own} fuses several experts in one tensor: only nn.Linear can be pruned")


def move(module: nn.Module, device: str, dtypes: dict[str, torch.dtype] | torch.dtype) -> dict[str, torch.dtype]:
    """Move a module and cast its parameters, to one type or to each its own; returns the types that they had.

    Buffers keep their types: rotary frequencies in 16 bits would be another model.
    """
    module.to(device)
    before = {}
    for name, parameter in module.named_parameters():
        before[name] = parameter.dtype
        wanted = dtypes if isinstance(dtypes, torch.dtype) else dtypes[name]
        parameter.data = parameter.data.to(wanted)
    return before


def zero_shares(model: nn.Module) -> dict[str, Any]:
    """The share of zeros of every linear layer but the head (`layers`, by name), and of all together (`mean`)."""
    head = model.get_output_embeddings()
    weights = {n: m.weight for n, m in model.named_modules() if isinstance(m, nn.Linear) and m is not head}
    zeros = {name: int((weight == 0).sum()) for name, weight in weights.items()}
    count = sum(weight.numel() for weight in weights.values())
    return {
        "layers": {name: zeros[name] / weights[name].numel() for name in weights},
        "mean": sum(zeros.values()) / count if count else None,
    }


def flops_per_token(model: nn.Module) -> int:
    """Floating point operations of all linear layers, head included, for one token: a multiply and an add per weight.

    Zeros in dense storage are multiplied like any other number and count.
    """
    return 2 * sum(module.weight.numel() for module in model.modules() if isinstance(module, nn.Linear))
