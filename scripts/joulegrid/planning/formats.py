"""Formats of weights: bits with their scales, and the kernel that multiplies with them.

The kernel, not the bits, decides the time: on one card AWQ without Marlin took 4.4 times as long as
GPTQ, at the same 4 bits (docs/planning.md).
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

# Bits per weight of llama.cpp's mixes for Llama models, whole file (llama.cpp, tools/quantize,
# table of Llama-3.1-8B)
GGUF_BITS = {
    "F32": 32.0,
    "F16": 16.0,
    "BF16": 16.0,
    "Q8_0": 8.5,
    "Q6_K": 6.56,
    "Q5_K_M": 5.70,
    "Q5_K_S": 5.57,
    "Q5_0": 5.5,
    "Q5_1": 6.0,
    "Q4_K_M": 4.89,
    "Q4_K_S": 4.67,
    "Q4_0": 4.66,
    "Q4_1": 5.12,
    "Q3_K_L": 4.30,
    "Q3_K_M": 4.00,
    "Q3_K_S": 3.64,
    "Q2_K": 3.16,
    "Q2_K_S": 2.97,
}
# Per weight of bitsandbytes' 4 bits: a scale for 64, in 32 bits, doubly quantized in 8 and a bit
SCALE_BITS = {False: 32.0 / 64, True: 8.5 / 64}
MARLIN_FROM = (8, 0)  # compute capability
BF16_FROM = (8, 0)
EMULATED = "emulated-16"  # the kernel of casts to bfloat16 before that
FP8_FROM = (8, 9)


@dataclass(frozen=True)
class Format:
    """How a model's linear layers are stored and multiplied.

    Parameters
    ----------
    bits
        of a weight, scales and zeros included.
    kernel
        what multiplies: a key of `factors.KERNELS`.
    dtype
        what it computes in: fp32, fp16, bf16, int8, fp8.
    head_bits
        of the output head, which most methods leave in 16 bits.
    """

    bits: float
    kernel: str
    dtype: str = "bf16"
    head_bits: float = 16.0


HALF = {"bfloat16": Format(16.0, "dense"), "float16": Format(16.0, "dense", "fp16")}
SINGLE = Format(32.0, "dense-32", "fp32", 32.0)


def of(
    quantization: Mapping[str, Any],
    engine: str,
    capability: tuple[int, int] | None,
) -> Format | None:
    """The format of a quantization under an engine, on a GPU of a compute capability.

    Parameters
    ----------
    quantization
        an entry of a study, with its defaults.
    engine
        transformers, llamacpp or vllm.
    capability
        (major, minor); None of a CPU.

    Returns
    -------
    None of weights that somebody else quantized: only their files tell.
    """
    kind = quantization["method"]
    marlin = capability is not None and capability >= MARLIN_FROM
    if engine == "transformers":  # others choose by themselves
        marlin = marlin and _by_marlin(quantization)
    if kind == "cast" or (kind == "gguf" and engine == "transformers"):  # unpacked while loading
        dtype = computes_in(quantization)
        board = None if engine == "llamacpp" else capability  # its kernels choose by themselves
        return computed_in(HALF.get(dtype, SINGLE), dtype, board)
    if kind == "llm-int8":
        return Format(8.0, "llm-int8", "int8")
    if kind == "bitsandbytes-4bit":
        scale = SCALE_BITS[bool(quantization.get("double_quantization"))]
        return Format(4 + scale, "bitsandbytes-4bit")
    if kind == "gptq":
        bits = quantization["bits"] + _per_group(quantization, 16 + quantization["bits"])
        return Format(bits, "marlin" if marlin and bits_in_marlin(quantization) else "gptq", "fp16")
    if kind == "awq":
        return Format(4 + _per_group(quantization, 20), "marlin" if marlin else "awq", "fp16")
    if kind == "fp8":
        return _fp8(engine, capability)
    if kind == "gguf":
        return _gguf(quantization["type"])
    return None


def emulates(quantization: Mapping[str, Any], engine: str, capability: tuple[int, int]) -> bool:
    """Whether a board computes in bfloat16 without having it."""
    if engine == "llamacpp":
        return False
    return capability < BF16_FROM and computes_in(quantization) == "bfloat16"


def computes_in(quantization: Mapping[str, Any]) -> str:
    """The floating-point type of a cast, or of the rest of the computation."""
    return quantization.get("dtype") or quantization.get("compute_dtype") or ""


def computed_in(form: Format, dtype: str, capability: tuple[int, int] | None) -> Format:
    """A format whose products are computed in a floating-point type: in 32 bits outside tensor
    cores, in bfloat16 at the slowness of its emulation on boards without it.
    """
    if dtype == "float32":
        return replace(form, dtype="fp32")
    if dtype == "bfloat16" and capability is not None and capability < BF16_FROM:
        return replace(form, kernel=EMULATED)
    return form


def _by_marlin(quantization: Mapping[str, Any]) -> bool:
    """Whether the kernel that a study asks for is Marlin, or its successor Machete; left to
    gptqmodel it is in 16 bits.
    """
    asked = quantization.get("kernel", "auto")
    if asked == "auto":
        return bool(quantization.get("compute_dtype") != "float32")
    return any(name in asked for name in ("marlin", "machete"))


def bits_in_marlin(quantization: Mapping[str, Any]) -> bool:
    """Marlin multiplies with 4 and 8 bits (IST-DASLab/marlin; gptqmodel and vLLM alike)."""
    return quantization["bits"] in (4, 8) and quantization.get("group_size", 128) in (
        -1,
        32,
        64,
        128,
    )


def _per_group(quantization: Mapping[str, Any], bits: float) -> float:
    """Bits per weight of a scale and a zero in a group of this size; of a whole row nothing."""
    size = quantization.get("group_size", 128)
    return bits / size if size > 0 else 0.0


def _fp8(engine: str, capability: tuple[int, int] | None) -> Format:
    """On tensor cores from 8.9 on; before, vLLM multiplies 8-bit weights with 16-bit activations,
    and transformers emulates with 16-bit weights.
    """
    if capability is not None and capability >= FP8_FROM:
        return Format(8.0, "fp8", "fp8")
    return Format(8.0, "marlin") if engine == "vllm" else Format(16.0, "emulated")


def _gguf(kind: str) -> Format:
    bits = GGUF_BITS.get(kind, 16.0)
    plain = bits >= GGUF_BITS["Q8_0"]
    return Format(bits, "gguf" if plain else "k-quants", "fp16", min(bits + 2.0, 16.0))
