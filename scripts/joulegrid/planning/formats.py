"""Formats of weights: bits with their scales, and the kernel that multiplies with them.

The kernel, not the bits, decides the time: on one card AWQ without Marlin took 4.4 times as long as
GPTQ, at the same 4 bits (docs/planning.md).
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from operator import mul
from typing import Any

from joulegrid.planning import mixes
from joulegrid.planning.architecture import Architecture
from joulegrid.planning.mixes import Mix

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
    embedding_bits
        of the input embedding where it is not the head; None: as those of the head.
    mix
        of llama.cpp, for models that have rows of no multiple of its super-blocks: `fitted` makes
        the bits above of it.
    """

    bits: float
    kernel: str
    dtype: str = "bf16"
    head_bits: float = 16.0
    embedding_bits: float | None = None
    mix: Mix | None = None

    @property
    def input_bits(self) -> float:
        """Of the input embedding."""
        return self.head_bits if self.embedding_bits is None else self.embedding_bits


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
    mixed = mixes.mix(kind)
    kernel = "gguf" if mixed.linear >= mixes.WHOLE["Q8_0"] else "k-quants"
    return Format(mixed.linear, kernel, "fp16", mixed.head, mixed.embedding, mixed)


def fitted(form: Format, model: Architecture) -> Format:
    """The format with the bits that it has in a model: rows of a mix that are no multiple of a
    super-block get a type with more.
    """
    narrow = [width % mixes.SUPER_BLOCK != 0 for width in widths(model)]
    if form.mix is None or not any(narrow):
        return form
    more = form.mix.more * sum(map(mul, narrow, _shares(model)))
    found = replace(form, bits=form.bits + more, mix=None)
    if not narrow[0]:
        return found
    return replace(found, head_bits=form.mix.narrow_head, embedding_bits=form.mix.narrow_embedding)


def widths(model: Architecture) -> tuple[float, float, float]:
    """Lengths of rows: of what reads the residual stream, the output of attention, and that of an
    MLP.
    """
    return model.hidden, model.attention_width, model.inner


def _shares(model: Architecture) -> tuple[float, float, float]:
    """Of the weights of all blocks, those with rows of each of these lengths."""
    every = model.linear + model.routed
    attention = model.layers * model.hidden * model.attention_width / every
    down = model.routed / 3 if model.experts else model.layers * model.hidden * model.inner
    return max(1 - attention - down / every, 0.0), attention, down / every
