"""Structured pruning inside every decoder block: channels of the MLP and groups of attention heads are cut out.

What belongs together goes together (the dependency groups of LLM-Pruner, Ma et al. 2023, arXiv 2305.11627): a channel
is one row of the gate and up projections and one column of the down projection; a head group is one key-value head
with its query heads: rows of the q, k and v projections, columns of the output projection. Every block loses the same
number, so that the smaller model has one size per kind of layer and any engine loads it.
"""

import torch
from torch import nn

from joulegrid.compression.modules import decoder_blocks
from joulegrid.compression.streaming import gather, stream
from joulegrid.compression.wanda import InputNorm
from joulegrid.findings import Unsupported
from joulegrid.jobs import say


def prune(model: nn.Module, entry: dict, calibration: torch.Tensor | None, device: str) -> dict:
    """Cut `entry["channels"]` and `entry["heads"]` (shares of each block) out of `model`, in place; notes how many.

    `importance: magnitude` takes the least ‖W‖₂ of a group's weights, `activation` the least Σ|W_ij|·‖X_j‖₂ over the
    columns of the projection that reads the group (Wanda-sp of An et al. 2024, arXiv 2312.11983).

    Raises
    ------
    Unsupported
        where the blocks are built otherwise, or no channel or head group would be left.
    """
    _, blocks = decoder_blocks(model)
    config = model.config.get_text_config()
    head_size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    for number, block in enumerate(blocks):
        _check(block, number, head_size, entry)
    channels = _kept(config.intermediate_size, entry.get("channels", 0), entry["multiple_of"], "channels")
    groups = _kept(config.num_key_value_heads, entry.get("heads", 0), 1, "groups of attention heads")
    norms = _norms(model, entry, calibration, device) if entry["importance"] == "activation" else [{}] * len(blocks)
    for block, norm in zip(blocks, norms, strict=True):
        if "channels" in entry:
            _cut_mlp(block.mlp, channels, norm.get("down"))
        if "heads" in entry:
            _cut_attention(block.self_attn, groups, head_size, norm.get("out"))
    queries = config.num_attention_heads // config.num_key_value_heads
    removed = {
        "removed_channels_per_block": config.intermediate_size - channels,
        "removed_head_groups_per_block": config.num_key_value_heads - groups,
    }
    if "heads" in entry:
        config.head_dim = head_size
    config.intermediate_size = channels
    config.num_key_value_heads = groups
    config.num_attention_heads = groups * queries
    say(f"every block: {channels} channels and {groups} groups of {queries} query heads are left")
    return {name: count for name, count in removed.items() if count}


def _kept(there: int, share: float, multiple: int, what: str) -> int:
    """How many stay: (1 − share) of them, rounded to a multiple of `multiple` (GPU kernels and quantization groups)."""
    if not share:
        return there
    kept = min(round((1 - share) * there / multiple) * multiple, there)
    if kept in (0, there):
        goes = "all" if not kept else "none"
        raise Unsupported(f"{share:g} of {there} {what}: {goes} would go (they are kept in multiples of {multiple})")
    return kept


def _check(block: nn.Module, number: int, head_size: int, entry: dict) -> None:
    attention, mlp = getattr(block, "self_attn", None), getattr(block, "mlp", None)
    wanted = []
    if "heads" in entry:
        wanted += [(attention, name) for name in ("q_proj", "k_proj", "v_proj", "o_proj")]
    if "channels" in entry:
        wanted += [(mlp, name) for name in ("up_proj", "down_proj")]
    lacking = [name for module, name in wanted if not isinstance(getattr(module, name, None), nn.Linear)]
    if lacking:
        raise Unsupported(
            f"block {number} has no linear layer {lacking[0]}: channels and heads can be cut out of blocks with "
            "q_proj, k_proj, v_proj, o_proj, up_proj and down_proj only (Llama, Mistral, Qwen, Gemma and their like)"
        )
    for name in ("q_norm", "k_norm") if "heads" in entry else ():
        norm = getattr(attention, name, None)
        if norm is not None and getattr(norm, "weight", None) is not None and norm.weight.numel() != head_size:
            raise Unsupported(f"block {number}: {name} goes over all heads at once; heads cannot be cut out")


def _norms(model: nn.Module, entry: dict, calibration: torch.Tensor, device: str) -> list[dict[str, torch.Tensor]]:
    """‖X_j‖₂ of the inputs of the down and the output projection, for every block of the dense model."""
    found = []
    for _, block, _, run in stream(model, calibration, device, changes=False):
        layers = {"down": block.mlp.down_proj} if "channels" in entry else {}
        layers |= {"out": block.self_attn.o_proj} if "heads" in entry else {}
        gathered = gather(layers, InputNorm, run)
        found.append({name: statistic.squares.sqrt().cpu() for name, statistic in gathered.items()})
    return found


def _cut_mlp(mlp: nn.Module, channels: int, norm: torch.Tensor | None) -> None:
    rows = [getattr(mlp, name) for name in ("gate_proj", "up_proj") if hasattr(mlp, name)]
    keep = _best(importance(rows, mlp.down_proj, 1, norm), channels)
    for layer in rows:
        _keep_rows(layer, keep)
    _keep_columns(mlp.down_proj, keep)


def _cut_attention(attention: nn.Module, groups: int, head_size: int, norm: torch.Tensor | None) -> None:
    there = attention.k_proj.out_features // head_size
    queries = attention.q_proj.out_features // attention.k_proj.out_features
    if norm is None:
        narrow = importance([attention.k_proj, attention.v_proj], None, head_size, None)
        wide = importance([attention.q_proj], attention.o_proj, head_size * queries, None)
        score = (narrow.square() + wide.square()).sqrt()
    else:
        score = importance([], attention.o_proj, head_size * queries, norm)
    keep = _best(score, groups)
    narrow = _spread(keep, head_size, there)
    wide = _spread(keep, head_size * queries, there)
    for layer in (attention.k_proj, attention.v_proj):
        _keep_rows(layer, narrow)
    _keep_rows(attention.q_proj, wide)
    _keep_columns(attention.o_proj, wide)
    for name, count in (("num_heads", groups * queries), ("num_key_value_heads", groups)):
        if hasattr(attention, name):
            setattr(attention, name, count)


def importance(rows: list[nn.Linear], columns: nn.Linear | None, size: int, norm: torch.Tensor | None) -> torch.Tensor:
    """The importance of every group of `size` neighbouring rows of `rows` and columns of `columns`, shape (groups,).

    Without `norm` the ‖W‖₂ of all their weights, with it (‖X_j‖₂ of the columns' inputs) the sum of |W_ij|·‖X_j‖₂.
    """
    if norm is not None:
        return (columns.weight.abs().double() * norm).sum(dim=0).reshape(-1, size).sum(dim=1)
    squares = [layer.weight.double().square().sum(dim=1).reshape(-1, size).sum(dim=1) for layer in rows]
    if columns is not None:
        squares.append(columns.weight.double().square().sum(dim=0).reshape(-1, size).sum(dim=1))
    return torch.stack(squares).sum(dim=0).sqrt()


def _best(score: torch.Tensor, count: int) -> torch.Tensor:
    return score.topk(count).indices.sort().values


def _spread(groups: torch.Tensor, size: int, there: int) -> torch.Tensor:
    """The indices of all members of the groups."""
    return torch.arange(there * size).reshape(there, size)[groups].flatten()


def _keep_rows(layer: nn.Linear, keep: torch.Tensor) -> None:
    layer.weight = nn.Parameter(layer.weight.data[keep].clone(), requires_grad=False)
    if layer.bias is not None:
        layer.bias = nn.Parameter(layer.bias.data[keep].clone(), requires_grad=False)
    layer.out_features = len(keep)


def _keep_columns(layer: nn.Linear, keep: torch.Tensor) -> None:
    layer.weight = nn.Parameter(layer.weight.data[:, keep].clone(), requires_grad=False)
    layer.in_features = len(keep)
