"""Structured pruning inside every decoder block: MLP channels and attention heads are cut out.

Every block loses the same number of the least important ones, so that the smaller model has one
size per kind of layer and any engine loads it. What belongs together is in `groups`, what is
important in `importance`. LLM-Pruner (Ma et al. 2023, arXiv 2305.11627) prunes inside blocks too,
but leaves the first four and the last two blocks of LLaMA-7B as they are.
"""

from typing import Any

import torch
from torch import nn

from joulegrid.compression.modules import decoder_blocks
from joulegrid.compression.pruning.groups import groups_of
from joulegrid.compression.pruning.importance import BlockGroups, scores
from joulegrid.errors import Unsupported
from joulegrid.jobs.run import say

KINDS = ("channels", "heads")
NOTES = {"channels": "removed_channels_per_block", "heads": "removed_head_groups_per_block"}


def prune(model: nn.Module, entry: dict, calibration: torch.Tensor | None, device: str) -> dict:
    """Cut `entry["channels"]` and `entry["heads"]`, shares of each block, out of `model`, in place.

    Returns
    -------
    How many were cut out of every block.

    Raises
    ------
    Unsupported
        where the blocks are built otherwise, or no channel or head group would be left.
    """
    _, blocks = decoder_blocks(model)
    config = model.config.get_text_config()
    head_size = (
        getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    )
    kinds = [kind for kind in KINDS if kind in entry]
    groups = [groups_of(block, number, head_size, kinds) for number, block in enumerate(blocks)]
    whole = {kind: _count(groups, kind) for kind in kinds}
    left = {kind: _left(whole[kind], entry, kind) for kind in kinds}
    of_blocks = scores(model, groups, entry["importance"], calibration, device)
    for of_block, score in zip(groups, of_blocks, strict=True):
        for kind, group in of_block.items():
            group.keep(score[kind].topk(left[kind]).indices.sort().values)
    if "channels" in entry:
        config.intermediate_size = left["channels"]
    if "heads" in entry:
        _set_heads(config, blocks, left["heads"], head_size)
    say(f"left in every block: {left}")
    return {NOTES[kind]: whole[kind] - left[kind] for kind in kinds}


def _count(groups: BlockGroups, kind: str) -> int:
    """Count what there is in every block."""
    counts = {of_block[kind].count for of_block in groups}
    if len(counts) > 1:
        raise Unsupported(
            f"{kind}: its blocks have {min(counts)} to {max(counts)}, not as many each"
        )
    return counts.pop()


def _left(whole: int, entry: dict, kind: str) -> int:
    """Count what stays: (1 − share); of channels a multiple, which kernels and formats want."""
    share, multiple = entry[kind], entry["multiple_of"] if kind == "channels" else 1
    left = min(round((1 - share) * whole / multiple) * multiple, whole)
    if left in (0, whole):
        raise Unsupported(
            f"{kind}: {'none' if left else 'all'} of {whole} would go by a share of {share:g} "
            f"(multiples of {multiple} are kept)"
        )
    return left


def _set_heads(config: Any, blocks: nn.ModuleList, groups: int, head_size: int) -> None:
    """Make the configuration and the blocks say how many heads are left."""
    queries = config.num_attention_heads // config.num_key_value_heads
    config.head_dim = head_size
    config.num_key_value_heads, config.num_attention_heads = groups, groups * queries
    for block in blocks:
        for name in ("num_key_value_heads", "num_heads", "num_attention_heads"):
            if hasattr(block.self_attn, name):
                heads = groups if name == "num_key_value_heads" else groups * queries
                setattr(block.self_attn, name, heads)
