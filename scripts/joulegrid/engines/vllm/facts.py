"""What a worker of vLLM has loaded. vLLM makes this class a base of its workers: it runs there."""

from collections import Counter
from typing import Any

import torch
from torch import nn


class Facts:
    """The questions that the engine asks its workers."""

    def joulegrid_facts(self) -> dict[str, Any]:
        """Kernels, attention, bytes of weights and KV cache of this worker's part of the model."""
        runner: Any = self.model_runner  # type: ignore[attr-defined]
        config: Any = self.vllm_config  # type: ignore[attr-defined]
        model, cache = runner.model, config.cache_config
        backends = {
            module.attn_backend.get_name()
            for module in model.modules()
            if hasattr(module, "attn_backend")
        }
        caches = {t.data_ptr(): t for t in _tensors(runner.kv_caches)}
        tokens = cache.kv_cache_size_tokens or cache.num_gpu_blocks * cache.block_size
        return {
            "model": type(model).__name__,
            "kernels": dict(Counter(map(kernel, linear_layers(model)))),
            "attention": ", ".join(sorted(backends)),
            "weights_bytes": weights_bytes(model),
            "kv_cache_bytes": sum(t.nbytes for t in caches.values()),
            "kv_cache_tokens": tokens,
            "kv_dtype": ", ".join(sorted({str(t.dtype) for t in caches.values()})),
            "compiled": _compiled(config.compilation_config),
            "threads": torch.get_num_threads(),
        }


def linear_layers(model: nn.Module) -> list[nn.Module]:
    """The layers that vLLM multiplies with one of its methods."""
    return [m for m in model.modules() if "Linear" in type(m).__name__ and _method(m) is not None]


def kernel(layer: nn.Module) -> str:
    """What a layer multiplies with: the kernel where its method chose one, else the method."""
    method, scheme = _method(layer), getattr(layer, "scheme", None)
    chosen = [
        value
        for owner in (method, scheme)
        for value in getattr(owner, "__dict__", {}).values()
        if type(value).__name__.endswith("Kernel")
    ]
    return type(next(iter(chosen), scheme or method)).__name__


def _method(layer: nn.Module) -> Any:
    return getattr(layer, "quant_method", None)


def weights_bytes(model: nn.Module) -> int:
    """Bytes of all weights, with those that a CPU kernel has taken into a layout of its own.

    Of those the layer keeps an empty tensor in their type; its sizes say how many there were.
    """
    held = {p.data_ptr(): p.nbytes for p in model.parameters() if p.numel()}
    taken = 0
    for layer in linear_layers(model):
        weight = getattr(layer, "weight", None)
        if weight is not None and weight.numel() == 0:
            rows, columns = layer.output_size_per_partition, layer.input_size_per_partition
            taken += rows * columns * weight.element_size()
    return sum(held.values()) + taken


def _compiled(config: Any) -> str:
    if config.mode.name == "NONE":
        return "no"
    return f"{config.mode.name}, CUDA graphs {config.cudagraph_mode.name}"


def _tensors(value: Any) -> list[torch.Tensor]:
    """The tensors of a cache: one, or some in a list, as the layer has it."""
    if isinstance(value, torch.Tensor):
        return [value]
    return [tensor for each in value for tensor in _tensors(each)]
