"""What no reading can be below: the time to read weights and KV cache for every step of decoding.

Each step reads all weights from the GPU's memory, for the whole batch together, and keys and values
of all tokens before it, for each request. A window that took
less time than its steps need at the data sheet's bandwidth, or less energy than that time at idle
power, was measured wrongly. `tables.GPU_MEMORY` has the bandwidths.
"""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from joulegrid.jobs.devices import is_device
from joulegrid.metering.tables import GPU_MEMORY

# The embedding is read by rows, not whole; data sheets round bandwidth
ALLOWANCE = 0.8
# Below what any board of the table takes at idle, as a share of its power limit. Idle power was
# measured without a context as 0.050 to 0.064 of it (RTX 3090), 0.057 (RTX PRO 6000), 0.083 to
# 0.097 (RTX 6000 Ada), 0.15 (A100, H100 NVL); an RTX 4090 is taken to have 0.049. A board that
# reads its memory takes more
IDLE_SHARE = 0.04
MEMORY_TOLERANCE = 0.15
# Models whose every layer attends to all tokens before, unless their config has a window. Others
# (windows, shared or compressed caches, recurrent layers) keep less: their cache is left out
FULL_ATTENTION = ("llama", "mistral", "qwen2", "qwen3", "phi3")
# No engine keeps keys and values in fewer bytes than half precision
ELEMENT_BYTES = 2
EXPERTS = ("num_experts", "num_local_experts", "n_routed_experts")


def step_seconds(weights_bytes: int, gpus: Sequence[dict[str, Any]]) -> float | None:
    """The shortest time to read so many bytes in s, as a decoding step reads all weights; None
    where the board is not in the table.
    """
    bandwidths = [_bandwidth(gpu) for gpu in gpus]
    if not gpus or None in bandwidths:
        return None
    return ALLOWANCE * weights_bytes / sum(b for b in bandwidths if b is not None)


def reads_all_weights(weights: Path) -> bool:
    """Whether a model reads all of its weights for each step: one with experts reads a few."""
    config = _config(weights)
    if config is None:
        return False
    nested = [config, *(part for part in config.values() if isinstance(part, dict))]
    return not any(part.get(key) for part in nested for key in EXPERTS)


def cache_bytes(weights: Path) -> int:
    """Bytes of keys and values that a model keeps for each token: 2 × layers × key-value heads ×
    their size × bytes of a number; 0 where its config does not say.
    """
    config = _config(weights) or {}
    windowed = config.get("sliding_window") and config.get("use_sliding_window", True)
    if config.get("model_type") not in FULL_ATTENTION or windowed:
        return 0
    try:
        heads = config["num_attention_heads"]
        size = config.get("head_dim") or config["hidden_size"] // heads
        kept = config.get("num_key_value_heads") or heads
        return int(2 * config["num_hidden_layers"] * kept * size * ELEMENT_BYTES)
    except (KeyError, TypeError):
        return 0


def cached_reads(requests: Sequence[Any], window: dict[str, Any]) -> int:
    """For how many tokens a window read keys and values at least, the same one counted again at
    each step: the k-th step of a request after its first token reads its prompt and k more.
    """
    shortest = min(request.new_tokens for request in requests)
    written = sum(request.new_tokens * (request.new_tokens - 1) // 2 for request in requests)
    return int(window["tokens_read"] * (shortest - 1) + window["runs"] * written)


def _config(weights: Path) -> dict[str, Any] | None:
    try:
        config: dict[str, Any] = json.loads((weights / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return config


def steps(requests: Sequence[Any], batch_size: int) -> int:
    """Decoding steps of one run at least, the first token of each request left out: those of the
    longest request, and those of all requests, `batch_size` at a time.
    """
    steps = [request.new_tokens - 1 for request in requests]
    return max(*steps, math.ceil(sum(steps) / batch_size), 0)


def below(
    window: dict[str, Any], steps_per_run: int, step_s: float, limit_w: float, cache_s: float = 0.0
) -> str | None:
    """Why a window cannot be right, None if it can; `cache_s` is the time to read the KV cache."""
    least = window["runs"] * steps_per_run * step_s + cache_s
    if window["seconds"] < least:
        return (
            f"a wrong reading: {window['seconds']:.2f} s, but reading weights and cache for each "
            f"token takes {least:.2f} s at this GPU's bandwidth"
        )
    joules = window["energy_j"]["gpu"]
    if joules < least * IDLE_SHARE * limit_w:
        return (
            f"a wrong reading: {joules:.1f} J of the GPU; reading weights and cache at idle power "
            f"takes more than {least * IDLE_SHARE * limit_w:.1f} J"
        )
    return None


def _bandwidth(gpu: dict[str, Any]) -> float | None:
    """Bytes per s of a board's memory."""
    for memory in GPU_MEMORY:
        same_size = abs(gpu["memory_bytes"] / 1e9 / memory.gigabytes - 1) < MEMORY_TOLERANCE
        if same_size and is_device(memory.gpu, gpu["name"]):
            return memory.bandwidth * 1e9
    return None
