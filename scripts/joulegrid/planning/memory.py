"""Memory that a job needs on its device, part by part, before it is sent. All figures in bytes, of
all boards together.
"""

from typing import Any, NamedTuple

from joulegrid.planning.architecture import Architecture
from joulegrid.planning.formats import SCALE_BITS, Format, fitted
from joulegrid.planning.prediction import KV_BYTES

# What a process takes beside the model: CUDA context, kernels, work space of its libraries, per
# board. 3 of 1,320 published cells that ran are forbidden by 1.5 GB and 93 % (docs/planning.md);
# llama.cpp needs less
OVERHEAD = {"transformers": 1.5e9, "vllm": 1.5e9, "llamacpp": 0.4e9}
GIB = 1.073741824  # a board that is sold by GB has at most as many GiB
# Of computed bytes what is sure to be needed: sizes out of config.json are within 0.06 % of those
# that a model has, which is all there is to 16 and 32 bits; bits of mixed formats differ by model
EXACT, MIXED = 0.999, 0.95
# A CUDA context, per board: 107 MiB on an RTX 4060 Ti (ggml-org/llama.cpp#23604), 250 to 560 MiB on
# larger boards
CONTEXT = 0.1e9
USABLE = 0.93  # of a board's memory: the driver's own share, and fragmentation
VECTORS = 12  # of the hidden width that a token holds while it passes a block
FLOAT32, HALF, MASK = 4.0, 2.0, 1.0
# Bytes per trained parameter, in 32 bits: with the weight 16, as many as in mixed precision
# (Rajbhandari et al. 2020, ZeRO, section 3.1)
GRADIENT, MOMENTS = 4.0, 8.0
SMALLER = ("layers", "blocks")  # prunings behind which a model of another size is recovered
FACTORED = 24.0  # per entry of a Hessian: in 64 bits itself, the unit matrix and a factor


class Need(NamedTuple):
    """Bytes by what they are for."""

    weights: float
    cache: float
    activations: float
    states: float
    overhead: float

    @property
    def total(self) -> float:
        """All of it."""
        return sum(self)


def sure(form: Format) -> float:
    """The share of the computed bytes of a format that a model surely has."""
    return EXACT if form.bits == form.head_bits and form.bits in (16.0, 32.0) else MIXED


def weights_bytes(model: Architecture, form: Format) -> float:
    """Bytes of loaded weights; embedding and head stay in their own format."""
    form = fitted(form, model)
    outside = model.head * form.head_bits / 8 + _embedding_bytes(model, form)
    return (model.linear + model.routed) * form.bits / 8 + outside


def _embedding_bytes(model: Architecture, form: Format) -> float:
    """Of the input embedding where it is not the head."""
    return 0.0 if model.tied else model.embedding * fitted(form, model).input_bits / 8


def cache_bytes(model: Architecture, sequences: float, length: float) -> float:
    """Bytes that sequences of a length hold: keys and values (a window holds no more than itself,
    MLA its latent vector) and the state of Mamba.
    """
    each = model.kv_tokens(length) * model.kv_elements * KV_BYTES + model.state_bytes
    return sequences * each


def to_run(
    model: Architecture,
    form: Format,
    engine: str,
    sequences: float,
    tokens_in: float,
    tokens_out: float,
    boards: int = 1,
) -> Need:
    """What inference needs.

    Parameters
    ----------
    sequences
        how many are under way at the same time; vLLM keeps those waiting that do not fit, so that
        it needs room for one.
    """
    kept = 1.0 if engine == "vllm" else sequences
    reads = tokens_in if engine == "vllm" else sequences * tokens_in
    logits = kept * model.head / max(model.hidden, 1) * FLOAT32
    # llama.cpp looks embeddings up in main memory
    elsewhere = _embedding_bytes(model, form) if engine == "llamacpp" else 0.0
    return Need(
        weights=weights_bytes(model, form) - elsewhere,
        cache=cache_bytes(model, kept, tokens_in + tokens_out),
        activations=reads * model.hidden * VECTORS * HALF + logits,
        states=0.0,
        overhead=OVERHEAD[engine] * boards,
    )


def to_train(model: Architecture, entry: dict[str, Any]) -> Need:
    """What fine-tuning surely holds at once: of all weights these, their gradients and two moments
    of AdamW, in 32 bits (also where it computes in 16); of adapters the base in its format, which
    the backward pass asks for, and what bitsandbytes leaves in 16 bits in 32, to which peft raises
    it (`prepare_model_for_kbit_training`). Activations, adapters and overhead count as nothing.

    Parameters
    ----------
    entry
        a training of a study.
    """
    kind, precision = entry["method"], entry.get("precision")
    if kind == "full":
        weights, states = FLOAT32 * model.parameters, (GRADIENT + MOMENTS) * model.parameters
    elif kind == "lora":
        # of what passes a block: an embedding may be looked up in main memory
        weights, states = (FLOAT32 if precision == "float32" else HALF) * model.linear, 0.0
    else:
        outside = model.head + (0.0 if model.tied else model.embedding)
        scale = SCALE_BITS[bool(entry.get("double_quantization"))]
        bits = 8.0 if precision == "int8" else 4.0 + scale
        weights, states = (model.linear + model.routed) * bits / 8 + FLOAT32 * outside, 0.0
    return Need(weights, cache=0.0, activations=0.0, states=states, overhead=0.0)


def likely_to_train(model: Architecture, entry: dict[str, Any], tokens: float) -> Need:
    """What fine-tuning is expected to hold beside what it surely does: of LoRA the whole base,
    which `device_map="auto"` puts on the boards; adapters with gradients and moments, and what the
    backward pass asks for of so many tokens at once, as nothing is computed again (Korthikanti
    et al. 2022, arXiv 2205.05198, section 4.1; here without dropout and the weights of attention,
    which kernels do not keep, and with a gated MLP): of each block what comes into and out of its
    norms, queries, keys, values and their result, and four widths of the MLP;
    logits and their gradients in 32 bits.

    Parameters
    ----------
    entry
        a training of a study.
    tokens
        of a batch.
    """
    sure, weights = to_train(model, entry), {}
    if entry["method"] == "lora":
        loaded = FLOAT32 if entry["precision"] == "float32" else HALF
        weights = {"weights": loaded * model.parameters}
    size = FLOAT32 if entry.get("compute_dtype", entry["precision"]) == "float32" else HALF
    each = 4 * model.hidden + 2 * model.attention_width + model.kv_elements + 4 * model.inner
    logits = 2 * FLOAT32 * model.head / model.hidden
    adapters = 0.0 if entry["method"] == "full" else lora_parameters(model, entry["rank"])
    return sure._replace(
        **weights,
        activations=tokens * (size * model.layers * each + logits),
        states=sure.states + (FLOAT32 + GRADIENT + MOMENTS) * adapters,
        overhead=OVERHEAD["transformers"],
    )


def to_quantize(model: Architecture, entry: dict[str, Any]) -> Need:
    """What GPTQ or AWQ is expected to hold at once on its board: one block, and the hidden states
    of all samples before and behind it; of GPTQ a Hessian of each layer's inputs, and of the
    largest its factor and its inverse beside, in 32 bits (Frantar et al. 2023, arXiv 2210.17323,
    section 3.3); of AWQ the inputs of the block's layers of all samples, by which scales are tried.

    Parameters
    ----------
    entry
        a quantization of a study.
    """
    told = entry["calibration"]
    tokens, narrow = told["samples"] * told["tokens"], min(model.attention_width, model.hidden)
    states, hessians = 2 * HALF * tokens * model.hidden, 0.0
    if entry["method"] == "gptq":
        hessians = FLOAT32 * (2 * model.hidden**2 + narrow**2 + 3 * model.inner**2)
    else:
        states += HALF * tokens * (2 * model.hidden + model.attention_width + model.inner)
    block, overhead = HALF * model.linear / model.layers, OVERHEAD["transformers"]
    return Need(block, cache=0.0, activations=states, states=hessians, overhead=overhead)


def lora_parameters(model: Architecture, rank: int) -> float:
    """Parameters of LoRA on all linear layers of all blocks: rank × (inputs + outputs) of each (Hu
    et al. 2022, arXiv 2106.09685, section 4.1).
    """
    kv = model.kv_elements / 2
    attention = 2 * (model.hidden + model.attention_width) + 2 * (model.hidden + kv)
    return float(rank * model.layers * (attention + 3 * (model.hidden + model.inner)))


def to_prune(model: Architecture, entry: dict[str, Any]) -> Need:
    """What pruning a dense model surely holds at once on its one board: with a calibration text one
    block, and the hidden states of all samples before it and, but for gradients, behind it; of
    SparseGPT the Hessians of a block's inputs, and what factoring the largest in 64 bits takes
    beside. Recovery behind masks has the whole model there, and for its backward pass all updated
    weights and their masks. Overhead is counted as nothing.

    Parameters
    ----------
    entry
        a pruning of a study.
    """
    needs = [_to_calibrate(model, entry)] if "calibration" in entry else []
    if "recovery" in entry and entry["method"] not in SMALLER:
        weights = HALF * model.parameters + (HALF + MASK) * model.linear
        needs.append(Need(weights, cache=0.0, activations=0.0, states=0.0, overhead=0.0))
    nothing = Need(0.0, 0.0, 0.0, 0.0, 0.0)
    return max(needs, key=lambda need: need.total, default=nothing)


def _to_calibrate(model: Architecture, entry: dict[str, Any]) -> Need:
    told, block = entry["calibration"], model.linear / model.layers
    states = told["samples"] * told["tokens"] * model.hidden
    if entry.get("importance") == "taylor":  # in 32 bits, with its gradients
        return Need((FLOAT32 + GRADIENT) * block, 0.0, FLOAT32 * states, 0.0, 0.0)
    hessians = 0.0
    if entry["method"] == "sparsegpt" and "modules" not in entry:
        narrow = min(model.attention_width, model.hidden)
        gathered = FLOAT32 * (2 * model.hidden**2 + narrow**2 + model.inner**2)
        hessians = gathered + FACTORED * model.inner**2
    return Need(HALF * block, 0.0, 2 * HALF * states, hessians, 0.0)
