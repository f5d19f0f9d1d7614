"""What is checked and counted on weights that were made, without a part in what they are."""

from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode
from transformers import AutoModelForCausalLM

from joulegrid.compression.modules import decoder_blocks
from joulegrid.errors import InputError, Unsupported
from joulegrid.jobs.implementation import implementation
from joulegrid.models.describe import describe
from joulegrid.models.files import stored_bytes


def probe(model: nn.Module) -> torch.Tensor:
    """Compute logits of a few tokens (1, 8, vocabulary), by which a saved model is recognized."""
    with torch.inference_mode():
        return model(input_ids=torch.arange(8)[None]).logits.float()


def check_pruned(folder: Path, entry: dict, expected: torch.Tensor) -> dict[str, Any]:
    """Load pruned weights again, check and describe them.

    Parameters
    ----------
    expected
        the `probe` of the model that was saved.

    Returns
    -------
    `sparsity`, as `zero_shares` counts it, and what `models.describe.describe` says of the folder.

    Raises
    ------
    InputError
        where zeros are missing, or the saved model computes something else than the one in memory.
    Unsupported
        where transformers builds the architecture with other sizes than its configuration says.
    """
    model = _load(folder)
    method = implementation("compression.pruning", entry["method"])
    if hasattr(method, "verify"):
        method.verify(model, entry)
    if not torch.allclose(probe(model), expected, rtol=1e-3, atol=1e-3, equal_nan=True):
        raise InputError(
            f"{folder}: the saved model gives other logits than the pruned one; prune it again"
        )
    return {"sparsity": zero_shares(model), **describe(folder)}


def _load(folder: Path) -> nn.Module:
    try:
        return AutoModelForCausalLM.from_pretrained(folder, dtype="auto").eval()
    except RuntimeError as error:
        if "size mismatch" not in str(error) and "mismatched" not in str(error):
            raise
        raise Unsupported(
            "transformers cannot load this architecture with fewer heads or channels"
        ) from None


def zero_shares(model: nn.Module) -> dict[str, Any]:
    """Count the zeros of the linear layers in the decoder blocks.

    Returns
    -------
    `layers`, the share of zeros by layer, and `mean`, that of all layers together.
    """
    inside, blocks = decoder_blocks(model)
    zeros, sizes = {}, {}
    for name, module in blocks.named_modules(prefix=inside):
        if isinstance(module, nn.Linear):
            zeros[name] = int((module.weight == 0).sum())
            sizes[name] = module.weight.numel()
    return {
        "layers": {name: zeros[name] / sizes[name] for name in sizes},
        "mean": sum(zeros.values()) / sum(sizes.values()) if sizes else None,
    }


def describe_quantized(folder: Path, entry: dict) -> dict[str, Any]:
    """Describe the weights that `entry`, a quantization, has made in `folder`.

    Returns
    -------
    `sparsity`, whose `mean` is the share of zeros among the quantized weights, and `bytes`, of the
    weight files.
    """
    method = implementation("compression.quantization", entry["method"])
    share = method.zero_share(folder, entry)
    return {"sparsity": {"mean": share}, "bytes": stored_bytes(folder)}


def flops_per_token(model: nn.Module) -> int:
    """Count the floating point operations of one token that has no other before it.

    Counted while the model runs: matrix products (a multiply and an add are two), the head and
    attention included, of a mixture the chosen experts only. Zeros in dense storage are multiplied
    like any other number and count.
    """
    grouped = {torch.ops.aten._grouped_mm: _flops_of_experts}
    with FlopCounterMode(display=False, custom_mapping=grouped) as counter, torch.inference_mode():
        model(input_ids=torch.zeros(1, 1, dtype=torch.long), use_cache=False)
    return counter.get_total_flops()


def _flops_of_experts(tokens: tuple, experts: tuple, *_: Any, **__: Any) -> int:
    """Count those of (rows, inputs) × (experts, inputs, outputs), each row with one expert."""
    return 2 * tokens[0] * tokens[1] * experts[-1]
