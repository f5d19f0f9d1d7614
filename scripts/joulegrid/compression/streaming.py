"""Calibration block by block: activations go through one decoder block after the other, so that beside the weights only
one block, its statistics and the calibration's hidden states need memory on the device.
"""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import nn

from joulegrid.compression.modules import decoder_blocks, linear_layers, move
from joulegrid.findings import Unsupported
from joulegrid.jobs import say
from joulegrid.records import InputError


def prune_blocks(
    model: nn.Module, entry: dict, calibration: torch.Tensor, device: str, statistic: Callable[[nn.Linear], Any]
) -> dict:
    """Prune block after block: gather a statistic of each layer's inputs, prune, pass on what the pruned block gives.

    Parameters
    ----------
    calibration
        token ids, shape (samples, tokens).
    statistic
        makes of a layer an object with `add(inputs of shape (tokens, in_features))` and `prune(layer, entry) -> notes`.

    Returns
    -------
    layer name -> what its `prune` noted, where it noted something
    """
    wanted = linear_layers(model, entry.get("modules"))
    names = {id(layer): name for name, layer in wanted.items()}
    notes = {}
    for number, block, _, run in stream(model, calibration, device):
        layers = {names[id(m)]: m for m in block.modules() if id(m) in names}
        gathered = gather(layers, statistic, run)
        for name, layer in layers.items():
            try:
                notes[name] = gathered[name].prune(layer, entry)
            except (Unsupported, ArithmeticError) as error:
                raise type(error)(f"{name}: {error}") from None
        say(f"block {number}: {len(layers)} layers pruned")
    return {name: noted for name, noted in notes.items() if noted}


def gather(layers: dict[str, nn.Linear], statistic: Callable[[nn.Linear], Any], run: Callable[[], Any]) -> dict:
    """The statistic of every layer's inputs while `run()` runs, by layer name.

    Raises InputError naming the layer whose inputs are not finite numbers.
    """
    gathered = {name: statistic(layer) for name, layer in layers.items()}

    def listener(name):
        def listen(module, inputs):
            values = inputs[0].reshape(-1, inputs[0].shape[-1])
            if not torch.isfinite(values).all():
                raise InputError(
                    f"{name}: its inputs are not finite numbers on the calibration text: the model overflows in its "
                    "precision, or its weights are damaged; store it in bfloat16 or float32"
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
    model: nn.Module, calibration: torch.Tensor, device: str, changes: bool = True
) -> Iterator[tuple[int, nn.Module, list[torch.Tensor], Callable[[], list[torch.Tensor]]]]:
    """Yield (number, block, inputs, run) for every decoder block.

    `inputs` are the hidden states that enter the block, one tensor (1, tokens, hidden) per sample; `run()` sends them
    through the block and returns what comes out. With `changes`, the next block's inputs are computed again from the
    block as it is then; without, what `run` gave is taken.
    On a CPU a block computes in float32, which is fastest there; its weights keep their own type.
    """
    _, blocks = decoder_blocks(model)
    hidden, arguments = _first_inputs(model, blocks, calibration)
    for number, block in enumerate(blocks):
        own = next(block.parameters()).dtype
        compute = torch.float32 if device == "cpu" else own
        dtypes = move(block, device, compute)
        states = [state.to(device, compute) for state in hidden]
        positional, keyword = _moved(arguments[number], device, compute)
        outputs: list[torch.Tensor] = []

        def run(block=block, states=states, positional=positional, keyword=keyword, outputs=outputs):
            with torch.inference_mode():
                outputs[:] = [_output(block(state, *positional, **keyword)) for state in states]
            return outputs

        yield number, block, states, run
        if number + 1 < len(blocks):
            hidden = [state.to("cpu") for state in (run() if changes else outputs)]
        move(block, "cpu", dtypes)


def _first_inputs(model: nn.Module, blocks: nn.ModuleList, calibration: torch.Tensor) -> tuple[list, list[tuple]]:
    """The hidden states that enter the first block, for every sample, and what else every block is called with.

    All samples have the same length and no padding, so that masks and positions are the first sample's for all. They
    may differ from block to block (sliding windows). The blocks themselves are passed over.
    """
    hidden, arguments = [], []

    def pass_over(states, *positional, past_key_values=None, **keyword):
        if len(arguments) < len(blocks):
            arguments.append((positional, keyword))
        elif not seen and not all(_same(value, arguments[0][1].get(key)) for key, value in keyword.items()):
            raise Unsupported("its blocks get inputs beside the hidden states that differ from sample to sample")
        seen.append(states)
        return states

    for block in blocks:
        block.forward = pass_over
    try:
        for sample in calibration:
            seen: list[torch.Tensor] = []
            with torch.inference_mode():
                model(input_ids=sample[None], use_cache=False, logits_to_keep=1)
            hidden.append(seen[0])
    finally:
        for block in blocks:
            del block.forward
    return hidden, arguments


def _moved(value: Any, device: str, dtype: torch.dtype) -> Any:
    if isinstance(value, torch.Tensor):
        return value.to(device, dtype if value.is_floating_point() else None)
    if isinstance(value, tuple | list):
        return type(value)(_moved(inner, device, dtype) for inner in value)
    return {key: _moved(inner, device, dtype) for key, inner in value.items()} if isinstance(value, dict) else value


def _same(first: Any, second: Any) -> bool:
    if isinstance(first, torch.Tensor):
        return first.shape == second.shape and torch.equal(first, second)
    if isinstance(first, tuple | list):
        return all(map(_same, first, second))
    return True


def _output(result: Any) -> torch.Tensor:
    return result[0] if isinstance(result, tuple) else result
