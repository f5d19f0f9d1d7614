"""Which layers of a model a pruning touches, where its blocks are, and moving parts of it."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from fnmatch import fnmatchcase

import torch
from torch import nn
from transformers.pytorch_utils import Conv1D

from joulegrid.errors import InputError, Unsupported


def decoder_blocks(model: nn.Module) -> tuple[str, nn.ModuleList]:
    """Find the decoder blocks: in a model that also sees or hears, those of its text part.

    Returns
    -------
    The name of their list, and the list.

    Raises
    ------
    Unsupported
        where the model has none, as an encoder-decoder or a state-space model may.
    """
    count = model.config.get_text_config().num_hidden_layers
    decoder = model.get_decoder() if hasattr(model, "get_decoder") else model
    of_text = set(decoder.modules())
    for name, module in model.named_modules():
        if isinstance(module, nn.ModuleList) and len(module) == count and module in of_text:
            return name, module
    raise Unsupported(f"{type(model).__name__}: no list of {count} decoder blocks was found")


def linear_layers(model: nn.Module, patterns: list[str] | None = None) -> dict[str, nn.Linear]:
    """Find the linear layers of the decoder blocks that share their weights with no other layer.

    Parameters
    ----------
    patterns
        shell patterns of names, matched from any dot on ("mlp.*", "layers.0.*", "q_proj"); None:
        all.

    Returns
    -------
    name -> layer

    Raises
    ------
    Unsupported
        where blocks hold weights of kinds that would silently stay dense: Conv1D, experts fused in
        one tensor.
    InputError
        where a pattern matches no layer.
    """
    inside, blocks = decoder_blocks(model)
    _refuse_other_kinds(inside, blocks)
    uses = Counter(id(getattr(module, "weight", None)) for module in model.modules())
    layers = {
        name: module
        for name, module in model.named_modules()
        if name.startswith(f"{inside}.")
        and isinstance(module, nn.Linear)
        and uses[id(module.weight)] == 1
    }
    if not layers:
        raise Unsupported(f"{type(model).__name__}: no nn.Linear layers to prune")
    if patterns is None:
        return layers
    _refuse_unmatched(patterns, layers)
    return {
        name: layer
        for name, layer in layers.items()
        if any(_matches(name, pattern) for pattern in patterns)
    }


def _matches(name: str, pattern: str) -> bool:
    parts = name.split(".")
    return any(fnmatchcase(".".join(parts[start:]), pattern) for start in range(len(parts)))


def _refuse_unmatched(patterns: list[str], names: dict[str, nn.Linear]) -> None:
    for pattern in patterns:
        if not any(_matches(name, pattern) for name in names):
            kinds = ", ".join(sorted({".".join(name.split(".")[-2:]) for name in names}))
            raise InputError(f"modules: {pattern!r} matches no linear layer; there are {kinds}")


def _refuse_other_kinds(inside: str, blocks: nn.ModuleList) -> None:
    for name, module in blocks.named_modules(prefix=inside):
        if isinstance(module, Conv1D):
            raise Unsupported(
                f"{name} is a Conv1D (as in GPT-2): only nn.Linear layers can be pruned"
            )
        for own, parameter in module.named_parameters(recurse=False):
            if parameter.dim() == 3 and not isinstance(module, nn.Conv1d):
                raise Unsupported(
                    f"{name}.{own} fuses several experts in one tensor: "
                    "only nn.Linear can be pruned"
                )


@contextmanager
def placed(
    module: nn.Module, device: str, dtype: torch.dtype | None = None
) -> Iterator[torch.dtype]:
    """Hold a module on `device`, in the type to compute in there, which is yielded.

    Afterwards it is in main memory again, every parameter in the type that it had. Buffers keep
    their types: rotary frequencies in 16 bits would be another model.

    Parameters
    ----------
    dtype
        the type; None: float32 on a CPU, where it is the fastest, else that of the weights.
    """
    stored = {name: parameter.dtype for name, parameter in module.named_parameters()}
    if dtype is None:
        dtype = torch.float32 if device == "cpu" else next(iter(stored.values()))
    _move(module, device, dict.fromkeys(stored, dtype))
    try:
        yield dtype
    finally:
        _move(module, "cpu", stored)


def _move(module: nn.Module, device: str, dtypes: dict[str, torch.dtype]) -> None:
    module.to(device)
    for name, parameter in module.named_parameters():
        parameter.data = parameter.data.to(dtypes[name])


def modules_beside(model: nn.Module, blocks: nn.ModuleList) -> nn.ModuleList:
    """List all modules but the decoder blocks and what they are in: embeddings, last norm, head."""
    around = {module for module in model.modules() if blocks in module.modules()}
    children = [child for module in around - {blocks} for child in module.children()]
    return nn.ModuleList(child for child in children if child not in around)
