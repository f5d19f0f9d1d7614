"""Which weights an engine loads on which hardware, known before anything is sent.

vLLM's limits are those of version 0.32: read in its source, and for CPUs seen to hold. What it says
of a model that only its files tell (an architecture, sizes that do not divide) is a finding of the
job.
"""

import math
from typing import Any

from joulegrid.study.methods import METHODS, method_name
from joulegrid.study.points import Swept, least

# How the engines call the number of sequences at a time, and the tokens of the longest one
LIMITS = ("batch_size", "slots", "max_num_seqs")
LONGEST = ("context", "max_model_len")
# Of GPTQ, as vLLM's kernels take it
GPTQ_BITS = {"cpu": (4,), "cuda": (4, 8)}
GROUP_SIZES = (-1, 32, 64, 128)
SIXTEEN_BITS = ("bfloat16", "float16")


def why_not(
    engine: dict[str, Any],
    quantization: dict[str, Any],
    hardware: dict[str, Any],
    workload: dict[str, Any],
    context: float = math.inf,
) -> str | None:
    """Why an engine cannot run weights of a quantization on a machine, None where it may.

    The arguments are entries of a study; `context` is the longest sequence of the model, tokens.
    """
    name, kind = method_name("engine", engine), method_name("quantization", quantization)
    if name not in METHODS["quantization"][kind].engines:
        able = sorted(n for n, known in METHODS["quantization"].items() if name in known.engines)
        return f"the engine {name} does not load {kind}; it loads {', '.join(able)}"
    reason = _too_many(engine, workload) or _too_short(engine, workload, context)
    if reason or name == "llamacpp":
        return reason
    if name == "transformers":
        return _of_flash_attention(engine, quantization, hardware["device"])
    return _OF_VLLM.get(kind, lambda *_: None)(quantization, hardware["device"])


def at_once(engine: dict[str, Any]) -> int:
    """How many requests an engine entry lets run at once."""
    return int(engine[_limit(engine)])


def takes(engine: dict[str, Any], point: Swept, context: float = math.inf) -> bool:
    """Whether an engine entry runs a point of a workload, as far as that is known before: as many
    requests at once, and sequences as long; `context` as in `why_not`.
    """
    room = min([context, *(engine[key] for key in LONGEST if key in engine)])
    long = (point.prompt_tokens or 1) + point.new_tokens
    return (point.concurrency or 1) <= at_once(engine) and long <= room


def _limit(engine: dict[str, Any]) -> str:
    return next(key for key in LIMITS if key in engine)


def _too_many(engine: dict[str, Any], workload: dict[str, Any]) -> str | None:
    """Of several points the least is looked at: one that cannot run is a finding of that point."""
    key = _limit(engine)
    asked = least(workload.get("concurrency", 1))
    if asked <= engine[key]:
        return None
    return f"{key} of the engine entry is {engine[key]}: {asked} requests never run at once"


def _too_short(engine: dict[str, Any], workload: dict[str, Any], context: float) -> str | None:
    """Of several points the shortest is looked at."""
    # each row of a trace may ask for fewer
    asked = 1 if "trace" in workload else least(workload["new_tokens"])
    prompt = least(workload.get("prompt_tokens", 1))
    read = f"{prompt} tokens" if "prompt_tokens" in workload else "a prompt"
    rooms = {key: engine[key] for key in LONGEST if key in engine}
    for key, room in {**rooms, "the model's context": context}.items():
        if prompt + asked > room:
            return f"{key} is {room} tokens: no room for {read} and {asked} new ones"
    return None


def _of_flash_attention(
    engine: dict[str, Any], quantization: dict[str, Any], device: str
) -> str | None:
    attention = engine.get("attention", "")
    if not attention.startswith("flash"):
        return None
    dtype = quantization.get("dtype") or quantization.get("compute_dtype")
    if device == "cpu":
        return f"{attention} needs a GPU"
    if dtype and dtype not in SIXTEEN_BITS:
        return f"{attention} computes in {' or '.join(SIXTEEN_BITS)} only, not in {dtype}"
    return None


def _of_bitsandbytes(entry: dict[str, Any], device: str) -> str | None:
    if device == "cpu":
        return "vLLM's bitsandbytes plugin needs a GPU"
    made = (entry["type"], entry["double_quantization"], entry["compute_dtype"])
    if made != ("nf4", True, "bfloat16"):
        return (
            "vLLM's bitsandbytes plugin makes type: nf4 with double_quantization: true and "
            "computes in bfloat16; it makes nothing else while loading"
        )
    return None


def _of_gptq(entry: dict[str, Any], device: str) -> str | None:
    if entry["bits"] not in GPTQ_BITS[device]:
        bits = " or ".join(map(str, GPTQ_BITS[device]))
        where = "a CPU" if device == "cpu" else "a GPU"
        return f"vLLM runs GPTQ with {bits} bits on {where}, not with {entry['bits']}"
    if entry["act_order"] and device == "cpu":
        return "vLLM's kernel for CPUs does not reorder: it runs GPTQ without act_order"
    return _of_groups(entry, device)


def _of_groups(entry: dict[str, Any], _: str) -> str | None:
    if entry["group_size"] not in GROUP_SIZES:
        sizes = ", ".join(map(str, GROUP_SIZES))
        return f"vLLM runs groups of {sizes} (-1: a whole row), not of {entry['group_size']}"
    if entry["compute_dtype"] not in SIXTEEN_BITS:
        return f"vLLM computes with 4 and 8 bits in {' or '.join(SIXTEEN_BITS)} only"
    return None


_OF_VLLM = {"bitsandbytes-4bit": _of_bitsandbytes, "gptq": _of_gptq, "awq": _of_groups}
