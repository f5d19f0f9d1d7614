"""What belongs together in a decoder block and is cut out together.

These are the dependency groups of LLM-Pruner (Ma et al. 2023, arXiv 2305.11627): an MLP channel is
one row of the gate and up projections and one column of the down projection; a head group is one
key-value head with its query heads: rows of the q, k and v projections, columns of the output
projection.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import nn

from joulegrid.errors import Unsupported


@dataclass
class Groups:
    """All channels, or all head groups, of one block: group g has the g-th piece of every layer.

    Attributes
    ----------
    rows
        the layers of which a group has rows (with their biases), each with the rows per group.
    reader
        the layer that reads what these give, of which a group has columns.
    width
        columns per group.
    """

    rows: list[tuple[nn.Linear, int]]
    reader: nn.Linear
    width: int

    @property
    def count(self) -> int:
        """The number of groups."""
        return self.reader.in_features // self.width

    @torch.no_grad()
    def sums(self, value: Callable[[torch.Tensor], torch.Tensor]) -> torch.Tensor:
        """Σ value(w) over the parameters of every group, shape (groups,); `value` by element."""
        total = self.sums_of_columns(value(self.reader.weight))
        for layer, size in self.rows:
            for parameter in layer.parameters():
                values = value(parameter).reshape(-1, size * parameter[0].numel())
                total += values.sum(dim=1, dtype=torch.float64)
        return total

    def sums_of_columns(self, values: torch.Tensor) -> torch.Tensor:
        """Σ over the columns of every group, shape (groups,), of a matrix like the reader's."""
        return values.sum(dim=0, dtype=torch.float64).reshape(-1, self.width).sum(dim=1)

    def keep(self, groups: torch.Tensor) -> None:
        """Cut out all groups but these (their numbers, ascending), in place."""
        for layer, size in self.rows:
            kept = _members(groups, size)
            for name, parameter in list(layer.named_parameters()):
                setattr(layer, name, _cut(parameter.data[kept]))
            layer.out_features = len(kept)
        kept = _members(groups, self.width)
        self.reader.weight = _cut(self.reader.weight.data[:, kept])
        self.reader.in_features = len(kept)


def _members(groups: torch.Tensor, size: int) -> torch.Tensor:
    return (groups[:, None] * size + torch.arange(size)).flatten()


def _cut(piece: torch.Tensor) -> nn.Parameter:
    return nn.Parameter(piece.clone(), requires_grad=False)


def groups_of(
    block: nn.Module, number: int, head_size: int, kinds: Iterable[str]
) -> dict[str, Groups]:
    """Find the groups of each of `kinds`, "channels" and "heads", in a block.

    Raises
    ------
    Unsupported
        where the block is built otherwise.
    """
    groups = {}
    if "channels" in kinds:
        layers = _layers(block, number, "mlp", ("up_proj", "down_proj"), ("gate_proj",))
        reader = layers.pop("down_proj")
        groups["channels"] = Groups([(layer, 1) for layer in layers.values()], reader, 1)
    if "heads" in kinds:
        layers = _layers(block, number, "self_attn", ("q_proj", "k_proj", "v_proj", "o_proj"))
        queries = layers["q_proj"].out_features // layers["k_proj"].out_features
        width = head_size * queries
        rows = [(layers["q_proj"], width)]
        rows += [(layers[name], head_size) for name in ("k_proj", "v_proj")]
        groups["heads"] = Groups(rows, layers["o_proj"], width)
        _check_norms(block.self_attn, number, head_size)
    for kind, found in groups.items():
        if any(layer.out_features != size * found.count for layer, size in found.rows):
            raise Unsupported(f"block {number}: the sizes of its layers do not fit its {kind}")
    return groups


def _layers(
    block: nn.Module, number: int, part: str, names: tuple, optional: tuple = ()
) -> dict[str, nn.Linear]:
    module = getattr(block, part, None)
    names = (*names, *(name for name in optional if hasattr(module, name)))
    layers = {name: getattr(module, name, None) for name in names}
    for name, layer in layers.items():
        if not isinstance(layer, nn.Linear):
            raise Unsupported(
                f"block {number} has no linear layer {name}: channels and heads can be cut out of "
                "blocks with q_proj, k_proj, v_proj, o_proj, up_proj and down_proj only (Llama, "
                "Mistral, Qwen, Gemma and their like)"
            )
    return layers


def _check_norms(attention: nn.Module, number: int, head_size: int) -> None:
    for name in ("q_norm", "k_norm"):
        weight = getattr(getattr(attention, name, None), "weight", None)
        if weight is not None and weight.numel() != head_size:
            raise Unsupported(
                f"block {number}: {name} goes over all heads at once; heads cannot be cut out"
            )
