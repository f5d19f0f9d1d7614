"""Calibration block by block: samples go through one decoder block after the other.

Beside the weights in main memory, the device holds one block, the statistics of its layers and the
hidden states of the calibration samples.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import nn

from joulegrid.compression.modules import decoder_blocks, linear_layers, placed
from joulegrid.errors import InputError, Unsupported
from joulegrid.jobs.run import say


class Statistic(Protocol):
    """What is gathered of the inputs of one layer, and may prune it."""

    def add(self, inputs: torch.Tensor) -> None:
        """Take in activations of shape (tokens, in_features)."""

    def prune(self, layer: nn.Linear, entry: dict) -> dict:
        """Prune the layer in place; what to note."""


@dataclass
class BlockPass:
    """All calibration samples on their way through one decoder block.

    Attributes
    ----------
    inputs
        the hidden states that enter the block, one tensor (1, tokens, hidden) per sample.
    arguments
        what else the block is called with (positions, masks), the same for every sample: a tuple
        and a dict.
    outputs
        what the last `run` gave, None where it was not called.
    """

    number: int
    block: nn.Module
    inputs: list[torch.Tensor]
    arguments: tuple[tuple, dict]
    outputs: list[torch.Tensor] | None = None

    def run(self) -> list[torch.Tensor]:
        """Send every sample through the block as it is now; what leaves it."""
        with torch.no_grad():
            self.outputs = [self.output(state) for state in self.inputs]
        return self.outputs

    def output(self, state: torch.Tensor) -> torch.Tensor:
        """Send hidden states (1, tokens, hidden) through the block; what leaves it."""
        positional, keyword = self.arguments
        result = self.block(state, *positional, **keyword)
        return result[0] if isinstance(result, tuple) else result

    def to(self, device: str, dtype: torch.dtype | None = None) -> "BlockPass":
        """Copy it, as before it ran, with its tensors on `device`, floating ones as `dtype`."""
        inputs, arguments = (_moved(part, device, dtype) for part in (self.inputs, self.arguments))
        return BlockPass(self.number, self.block, inputs, arguments)


def prune_blocks(
    model: nn.Module,
    entry: dict,
    calibration: torch.Tensor,
    device: str,
    statistic: Callable[[nn.Linear], Statistic],
) -> dict:
    """Prune block after block, each on what the pruned blocks before it give.

    Parameters
    ----------
    calibration
        token ids, shape (samples, tokens).
    statistic
        makes an empty statistic of a layer.

    Returns
    -------
    layer name -> what its `prune` noted, where it noted something
    """
    names = {id(layer): name for name, layer in linear_layers(model, entry.get("modules")).items()}
    notes = {}
    for passing in stream(model, calibration, device, changes=True):
        layers = {names[id(m)]: m for m in passing.block.modules() if id(m) in names}
        gathered = gather(layers, statistic, passing.run)
        for name, layer in layers.items():
            try:
                notes[name] = gathered[name].prune(layer, entry)
            except (Unsupported, ArithmeticError) as error:
                raise type(error)(f"{name}: {error}") from None
        say(f"block {passing.number}: {len(layers)} layers pruned")
    return {name: noted for name, noted in notes.items() if noted}


def gather(
    layers: dict[str, nn.Linear],
    statistic: Callable[[nn.Linear], Statistic],
    run: Callable[[], Any],
) -> dict[str, Any]:
    """Gather the statistic of every layer's inputs while `run()` runs, by layer name.

    Raises
    ------
    InputError
        naming the layer whose inputs are not finite numbers.
    """
    gathered = {name: statistic(layer) for name, layer in layers.items()}

    def listener(name: str) -> Callable[[nn.Module, tuple], None]:
        def listen(module: nn.Module, inputs: tuple) -> None:
            values = inputs[0].reshape(-1, inputs[0].shape[-1])
            if not torch.isfinite(values).all():
                raise InputError(
                    f"{name}: its inputs are not finite numbers on the calibration text: the model "
                    "overflows in its precision, or its weights are damaged; store it in bfloat16 "
                    "or float32"
                )
            gathered[name].add(values)

        return listen

    handles = [layer.register_forward_pre_hook(listener(name)) for name, layer in layers.items()]
    try:
        run()
    finally:
        for handle in handles:
            handle.remove()
    return gathered


def stream(
    model: nn.Module, calibration: torch.Tensor, device: str, changes: bool
) -> Iterator[BlockPass]:
    """Yield the samples' pass through every decoder block, first to last, the block on `device`.

    Parameters
    ----------
    calibration
        token ids, shape (samples, tokens).
    changes
        whether the caller changes the blocks. If so, what enters the next block is computed after
        the change; else it is what the caller's `run()` gave, or computed where none was called.
    """
    _, blocks = decoder_blocks(model)
    states, arguments = first_inputs(model, blocks, calibration)
    for number, block in enumerate(blocks):
        with placed(block, device) as dtype:
            passing = BlockPass(number, block, states, arguments[number]).to(device, dtype)
            yield passing
            if number + 1 < len(blocks):
                known = None if changes else passing.outputs
                states = [state.to("cpu") for state in known or passing.run()]


def first_inputs(
    model: nn.Module, blocks: nn.ModuleList, calibration: torch.Tensor
) -> tuple[list[torch.Tensor], list[tuple[tuple, dict]]]:
    """Find out what enters the first block, and what else each block is called with.

    All samples have the same length and no padding, so that masks and positions are the first
    sample's for all. They may differ from block to block (sliding windows). No block computes.

    Returns
    -------
    Hidden states (1, tokens, hidden) per sample, and per block a tuple and a dict of arguments.

    Raises
    ------
    Unsupported
        where blocks are called with something that differs from sample to sample.
    """
    calls: list[tuple[torch.Tensor, tuple, dict]] = []

    def record(state, *positional, past_key_values=None, **keyword):
        calls.append((state, positional, keyword))
        return state

    states: list[torch.Tensor] = []
    arguments: list[tuple[tuple, dict]] = []
    with replaced(blocks, record), torch.no_grad():
        for sample in calibration:
            calls.clear()
            model(input_ids=sample[None], use_cache=False, logits_to_keep=1)
            states.append(calls[0][0])
            arguments = arguments or [(positional, keyword) for _, positional, keyword in calls]
            if not _same(calls[0][1:], arguments[0]):
                raise Unsupported(
                    "its blocks get inputs beside the hidden states that differ by sample"
                )
    return states, arguments


@contextmanager
def replaced(blocks: nn.ModuleList, forward: Callable[..., torch.Tensor]) -> Iterator[None]:
    """Let `forward` answer for all blocks: a hook sees a call, but cannot spare computing it."""
    for block in blocks:
        block.forward = forward
    try:
        yield
    finally:
        for block in blocks:
            del block.forward


def _moved(value: Any, device: str, dtype: torch.dtype | None) -> Any:
    if isinstance(value, torch.Tensor):
        return value.to(device, dtype if value.is_floating_point() else None)
    if isinstance(value, tuple | list):
        return type(value)(_moved(inner, device, dtype) for inner in value)
    if isinstance(value, dict):
        return {key: _moved(inner, device, dtype) for key, inner in value.items()}
    return value


def _same(first: Any, second: Any) -> bool:
    if isinstance(first, torch.Tensor) and isinstance(second, torch.Tensor):
        return torch.equal(first, second)
    if isinstance(first, tuple | list):
        return len(first) == len(second) and all(map(_same, first, second))
    if isinstance(first, dict):
        return first.keys() == second.keys() and all(_same(first[k], second[k]) for k in first)
    return True
