"""Whole decoder blocks are left out: those of the least influence on their input, or a given list.

Block influence after ShortGPT (Men et al. 2024, arXiv 2403.03853, equation 1): one minus the mean
cosine similarity of what enters and what leaves a block.
"""

import torch
from torch import nn
from torch.nn.functional import cosine_similarity

from joulegrid.compression.modules import decoder_blocks
from joulegrid.compression.streaming import stream
from joulegrid.errors import Unsupported
from joulegrid.jobs.run import say


def prune(model: nn.Module, entry: dict, calibration: torch.Tensor | None, device: str) -> dict:
    """Remove blocks from `model`, in place.

    Parameters
    ----------
    entry
        `drop`: the numbers of the blocks; or `ratio`: round(ratio · blocks) of the least influence.

    Returns
    -------
    `removed_blocks`, and the `block_influence` of every block of the whole model, None with `drop`.

    Raises
    ------
    Unsupported
        where the model has no such block, or none would be left.
    """
    _, blocks = decoder_blocks(model)
    if "drop" in entry:
        drop, influence = sorted(set(entry["drop"])), None
        if drop[-1] >= len(blocks):
            raise Unsupported(
                f"drop: the model has the blocks 0 to {len(blocks) - 1}, not {drop[-1]}"
            )
    else:
        influence = block_influences(model, calibration, device)
        order = sorted(range(len(blocks)), key=lambda number: influence[number])
        drop = sorted(order[: round(entry["ratio"] * len(blocks))])
    if len(drop) in (0, len(blocks)):
        raise Unsupported(f"{'none' if not drop else 'all'} of {len(blocks)} blocks would go")
    remove(model, drop)
    return {"removed_blocks": drop, "block_influence": influence}


def block_influences(model: nn.Module, calibration: torch.Tensor, device: str) -> list[float]:
    """Measure the influence of every block on all calibration tokens (samples, tokens): 0 to 2."""
    influences = []
    for passing in stream(model, calibration, device, changes=False):
        similarity = [
            cosine_similarity(entering.float(), leaving.float(), dim=-1).flatten()
            for entering, leaving in zip(passing.inputs, passing.run(), strict=True)
        ]
        influences.append(1 - torch.cat(similarity).double().mean().item())
        say(f"block {passing.number}: influence {influences[-1]:.4f}")
    return influences


def remove(model: nn.Module, drop: list[int]) -> None:
    """Take the blocks out, number the others anew, and make the configuration say so."""
    name, blocks = decoder_blocks(model)
    kept = [number for number in range(len(blocks)) if number not in drop]
    model.set_submodule(name, nn.ModuleList(blocks[number] for number in kept))
    for position, number in enumerate(kept):
        for module in blocks[number].modules():
            if hasattr(module, "layer_idx"):
                module.layer_idx = position
    config = model.config.get_text_config()
    for key, value in list(vars(config).items()):
        # layer_types and the like: one item for each block
        if isinstance(value, list) and len(value) == len(blocks):
            setattr(config, key, [value[number] for number in kept])
    config.num_hidden_layers = len(kept)
