"""What cannot run, and what runs slower than its bits promise, decided before anything is sent."""

from typing import Any

from joulegrid.planning.architecture import Architecture
from joulegrid.planning.devices import GIGA, Device
from joulegrid.planning.formats import (
    BF16_FROM,
    EMULATED,
    FP8_FROM,
    MARLIN_FROM,
    Format,
    computes_in,
    emulates,
    of,
)
from joulegrid.planning.memory import USABLE, Need, to_run
from joulegrid.study.loadable import why_not as not_loadable
from joulegrid.study.methods import Weights, method, method_name
from joulegrid.study.points import least

# The first compute capability that has what a method needs
INT8_FROM = (7, 5)  # tensor cores for LLM.int8 (bitsandbytes)
SPARSE_FROM = (8, 0)  # 2:4 tensor cores
VLLM_FROM = (7, 0)  # vLLM's kernels
VLLM_AWQ_AND_FP8_FROM = (7, 5)  # `get_min_capability` of its quantization methods


def why_not(
    model: Architecture | None,
    quantization: dict[str, Any],
    engine: dict[str, Any],
    hardware: dict[str, Any],
    workload: dict[str, Any],
    device: Device | None,
    tokens_in: float,
    sequences: float,
    allowed: float | None = None,
) -> str | None:
    """Why a cell cannot run, None where it may.

    Parameters
    ----------
    model
        None where its configuration is not known: its memory is not judged then.
    quantization, engine, hardware, workload
        entries of a study, with their defaults.
    device
        the board; None where it is not in the table, or a CPU: neither memory nor compute
        capability is judged then.
    tokens_in, sequences
        of a prompt; and how many are in flight.
    allowed
        the share of the board's memory that it may need, learned of what was tried; None: `usable`.
    """
    reason = not_loadable(engine, quantization, hardware, workload)
    if reason or device is None:
        return reason
    reason = too_old(quantization, engine, device)
    if reason or model is None:
        return reason
    boards = hardware.get("gpus", 1)
    need = need_of(model, quantization, engine, workload, device, boards, tokens_in, sequences)
    share = usable(engine)
    given = allowed in (None, share) and share < USABLE
    words = "by gpu_memory_utilization" if given else ""
    return too_large(need, device, boards, allowed or share, words) if need else None


def usable(engine: dict[str, Any]) -> float:
    """The share of a board's memory that a cell may need before anything was tried: all that is
    usable, if its engine entry does not give it less.
    """
    return min(USABLE, engine.get("gpu_memory_utilization", USABLE))


def need_of(
    model: Architecture,
    quantization: dict[str, Any],
    engine: dict[str, Any],
    workload: dict[str, Any],
    device: Device,
    boards: int,
    tokens_in: float,
    sequences: float,
) -> Need | None:
    """What a cell is expected to need; None of weights whose format only their files tell."""
    form = format_of(quantization, engine, device)
    if form is None:
        return None
    name, tokens_out = method_name("engine", engine), least(workload["new_tokens"])
    return to_run(model, form, name, sequences, tokens_in, tokens_out, boards)


def too_large(
    need: Need, device: Device, boards: int, allowed: float, said_by: str = ""
) -> str | None:
    """A sentence where the boards do not hold it, of whose memory a share is `allowed`; `said_by`
    is what says that, where no trial does.
    """
    has = device.memory * boards
    if need.total <= has * allowed * (1 + 1e-9):
        return None
    parts = [f"{name} {value / GIGA:.1f}" for name, value in need._asdict().items() if value > 5e7]
    boards_of = device.name if boards == 1 else f"{boards} × {device.name}"
    why = f" {said_by}" if said_by else "" if allowed == USABLE else ", as was tried there"
    return (
        f"needs {need.total / GIGA:.0f} GB ({', '.join(parts)}), {boards_of} has "
        f"{has / GIGA:.0f} GB, {allowed:.0%} of it usable{why}"
    )


def too_old(quantization: dict[str, Any], engine: dict[str, Any], device: Device) -> str | None:
    """A sentence where a board lacks what a method needs."""
    capability = device.compute_capability
    if capability is None:
        return None
    name, kind = method_name("engine", engine), quantization["method"]
    needed = {
        f"{kind} needs INT8 tensor cores": INT8_FROM if kind == "llm-int8" else None,
        "sparse_kernels needs 2:4 tensor cores": (
            SPARSE_FROM if engine.get("sparse_kernels") else None
        ),
        "vLLM has no kernels for it": VLLM_FROM if name == "vllm" else None,
        f"vLLM has no {kind.upper()} for it": (
            VLLM_AWQ_AND_FP8_FROM if name == "vllm" and kind in ("awq", "fp8") else None
        ),
        "vLLM refuses bfloat16": (
            BF16_FROM if name == "vllm" and computes_in(quantization) == "bfloat16" else None
        ),
    }
    for what, first in needed.items():
        if first is not None and capability < first:
            return f"{what}: {_said(device)}, {_text(first)} or later is needed"
    return None


def slower(
    quantization: dict[str, Any], engine: dict[str, Any], device: Device | None, at_once: float
) -> list[str]:
    """What runs, but not as fast as its format promises on other boards: a sentence each."""
    if device is None or device.compute_capability is None:
        return []
    name, kind = method_name("engine", engine), quantization["method"]
    capability, found = device.compute_capability, []
    if emulates(quantization, name, capability):
        found.append(f"bfloat16 is emulated: {_said(device)}; 6 to 18 times slower than float16")
    if kind == "fp8" and capability < FP8_FROM:
        how = "8-bit weights, 16-bit activations" if name == "vllm" else "16-bit weights, emulated"
        found.append(f"FP8 runs as {how}: {_said(device)}, 8.9 or later has FP8")
    if kind in ("gptq", "awq") and capability < MARLIN_FROM:
        found.append(f"{kind} runs without Marlin: {_said(device)}; up to 4 times slower")
    if kind == "bitsandbytes-4bit" and at_once > 1:
        found.append("bitsandbytes unpacks 4-bit weights for more than one sequence at a time")
    if kind == "gguf" and name == "transformers":
        found.append(
            f"transformers unpacks GGUF to {computes_in(quantization)}: its memory and time, not "
            "those of GGUF"
        )
    return found


def format_of(
    quantization: dict[str, Any], engine: dict[str, Any], device: Device
) -> Format | None:
    """The format in which an engine runs a quantization on a board."""
    return of(quantization, method_name("engine", engine), device.compute_capability)


def untold(quantization: dict[str, Any], engine: dict[str, Any], device: Device) -> str | None:
    """Why nothing is known of how fast an engine runs a quantization on a board; None where it
    is.
    """
    form = format_of(quantization, engine, device)
    if form is None and method("quantization", quantization).weights == Weights.FETCHED:
        return "ready-made weights: only their files tell the format"
    if form is None:
        return f"the plan does not know the format of {method_name('quantization', quantization)}"
    name, capability = method_name("engine", engine), device.compute_capability
    if form.kernel != EMULATED and capability and emulates(quantization, name, capability):
        return "bfloat16 is emulated, and nothing is known of how fast with these weights"
    return None


def _said(device: Device) -> str:
    return f"{device.name} has compute capability {_text(device.compute_capability or (0, 0))}"


def _text(capability: tuple[int, int]) -> str:
    return ".".join(map(str, capability))
