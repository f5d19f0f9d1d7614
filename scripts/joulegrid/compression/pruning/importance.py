"""How important the channels and head groups of a model are: three criteria.

magnitude   ‖w‖₂² over the group's parameters
activation  Σ|W_ij|·‖X_j‖₂ over the columns of the layer that reads the group: Wanda's score,
            summed (An et al. 2024, arXiv 2312.11983, call it Wanda-sp)
taylor      Σ|w·∂L/∂w| over the group's parameters: how much the loss L of the calibration samples
            changes, to first order, where each becomes zero (LLM-Pruner, Ma et al. 2023, arXiv
            2305.11627, section 3.2: element-wise importance without the second-order term, summed
            over the group)
"""

import torch
from torch import nn

from joulegrid.compression.gradients import block_gradients
from joulegrid.compression.pruning.groups import Groups
from joulegrid.compression.pruning.wanda import InputNorm
from joulegrid.compression.streaming import gather, stream
from joulegrid.jobs.run import say

# Per block: kind ("channels", "heads") -> its groups, and kind -> a number per group
BlockGroups = list[dict[str, Groups]]
Scores = list[dict[str, torch.Tensor]]


def scores(
    model: nn.Module,
    groups: BlockGroups,
    importance: str,
    calibration: torch.Tensor | None,
    device: str,
) -> Scores:
    """Score every group of `groups`, which are those of the model's blocks in order.

    Parameters
    ----------
    importance
        `magnitude`, `activation` or `taylor`.
    calibration
        token ids, shape (samples, tokens); not used by `magnitude`.

    Returns
    -------
    For every block a dict like its groups, of float64 tensors (groups,) in main memory.
    """
    if importance == "magnitude":
        return [
            {kind: group.sums(lambda w: w.float().square()) for kind, group in of_block.items()}
            for of_block in groups
        ]
    by = {"activation": _by_activation, "taylor": _by_taylor}[importance]
    return by(model, groups, calibration, device)


def _by_activation(
    model: nn.Module, groups: BlockGroups, calibration: torch.Tensor, device: str
) -> Scores:
    found = []
    for passing in stream(model, calibration, device, changes=False):
        of_block = groups[passing.number]
        readers = {kind: group.reader for kind, group in of_block.items()}
        statistics = gather(readers, InputNorm, passing.run)
        norms = {kind: statistic.squares.sqrt() for kind, statistic in statistics.items()}
        found.append(
            {
                kind: group.sums_of_columns(group.reader.weight.data.abs() * norms[kind]).cpu()
                for kind, group in of_block.items()
            }
        )
        say(f"block {passing.number}: {', '.join(of_block)} scored")
    return found


def _by_taylor(
    model: nn.Module, groups: BlockGroups, calibration: torch.Tensor, device: str
) -> Scores:
    found: Scores = [{} for _ in groups]
    for number, _ in block_gradients(model, calibration, device):
        for kind, group in groups[number].items():
            found[number][kind] = group.sums(lambda w: (w * w.grad).abs()).cpu()
        say(f"block {number}: {', '.join(groups[number])} scored")
    return found
