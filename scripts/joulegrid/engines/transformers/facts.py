"""What a loaded model is: the kernels that really run and the bytes it holds."""

import resource
from collections import Counter
from typing import Any

import torch
from torch import nn


def of(model: Any) -> dict[str, Any]:
    """`kernels`, class of every linear layer -> count, `weights_bytes`, and `settings`."""
    kernels = Counter(kernel(m) for m in model.modules() if "Linear" in type(m).__name__)
    return {
        "kernels": dict(kernels),
        "weights_bytes": weights_bytes(model),
        "settings": settings(model),
    }


def settings(model: Any) -> dict[str, str]:
    """What else decides how it computes: attention, cache, compilation, threads."""
    # generate() keeps these on the model when it has made a static cache, and when it has compiled
    static = getattr(model, "_previous_max_cache_length", None)
    compiled = getattr(model, "_compiled_call", None) is not None
    return {
        "attention": str(getattr(model.config, "_attn_implementation", None)),
        "cache": "dynamic" if static is None else f"static, {static} tokens",
        "compiled": "yes" if compiled else "no",
        "threads": str(torch.get_num_threads()),
    }


def kernel(layer: nn.Module) -> str:
    """What a linear layer computes with: its class, and what its weights are where the class does
    not say it.
    """
    name = type(layer).__name__
    if name == "Linear" and hasattr(layer, "quantization_scheme"):
        return "Linear (quantization emulated)"
    weight = getattr(layer, "weight", None)
    kind = type(weight.data).__name__ if isinstance(weight, torch.Tensor) else ""
    return f"{name} ({kind})" if "Sparse" in kind else name


def weights_bytes(model: Any) -> int:
    """Bytes of all weights and buffers, with the scales that bitsandbytes keeps beside them."""
    scales = []
    for parameter in model.parameters():
        scales.append(
            getattr(parameter, "SCB", None)
        )  # LLM.int8(): one per row, until the first pass …
        state = getattr(
            parameter, "quant_state", None
        )  # 4 bits: one per block, themselves quantized if so wished
        while state is not None:
            scales += [state.absmax, state.code]
            state = getattr(state, "state2", None)
    # … and from then on in the layer's state
    scales += [getattr(getattr(module, "state", None), "SCB", None) for module in model.modules()]
    held = {s.data_ptr(): s.numel() * s.element_size() for s in scales if s is not None}
    return int(model.get_memory_footprint()) + sum(held.values()) - saved_bytes(model)


def saved_bytes(model: nn.Module) -> int:
    """Bytes that compressed weights need less than the dense matrices whose shape they still
    report.
    """
    weights = [m.weight for m in model.modules() if type(m) is nn.Linear]
    saved = 0
    for weight in weights:
        if isinstance(weight.data, torch.sparse.SparseSemiStructuredTensor):
            parts = [
                getattr(weight.data, name) for name in ("packed", "meta", "packed_t", "meta_t")
            ]
            stored = {p.data_ptr(): p.numel() * p.element_size() for p in parts if p is not None}
            saved += weight.numel() * weight.element_size() - sum(stored.values())
    return saved


def memory() -> dict[str, int]:
    """Peak bytes so far: resident memory of this process, and what PyTorch allocated on all GPUs
    together.
    """
    peak = {"ram": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}
    if torch.cuda.is_available():
        peak["gpu"] = sum(
            torch.cuda.max_memory_allocated(i) for i in range(torch.cuda.device_count())
        )
    return peak
