"""Memory that a job needs on its device, part by part, before it is sent. All figures in bytes, of
all boards together.
"""

from typing import NamedTuple

from joulegrid.planning.architecture import Architecture
from joulegrid.planning.formats import Format
from joulegrid.planning.prediction import KV_BYTES

# What a process takes beside the model: CUDA context, kernels, work space of its libraries, per
# board. 3 of 1,320 published cells that ran are forbidden by 1.5 GB and 93 % (docs/planning.md);
# llama.cpp needs less
OVERHEAD = {"transformers": 1.5e9, "vllm": 1.5e9, "llamacpp": 0.4e9}
USABLE = 0.93  # of a board's memory: the driver's own share, and fragmentation
VECTORS = 12  # of the hidden width that a token holds while it passes a block
ADAM = 12.0  # bytes per trained parameter: master copy and two moments in 32 bits
TRAINED = 4.0  # weight and gradient in 16 bits (both: Rajbhandari et al. 2020, ZeRO, section 3.1)
FLOAT32 = 4.0
HALF = 2.0


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


def weights_bytes(model: Architecture, form: Format) -> float:
    """Bytes of loaded weights; embedding and head stay in their own format."""
    outside = model.head + (0.0 if model.tied else model.embedding)
    return (model.linear + model.routed) * form.bits / 8 + outside * form.head_bits / 8


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
    elsewhere = model.embedding * form.head_bits / 8 if engine == "llamacpp" else 0.0
    return Need(
        weights=weights_bytes(model, form) - (0.0 if model.tied else elsewhere),
        cache=cache_bytes(model, kept, tokens_in + tokens_out),
        activations=reads * model.hidden * VECTORS * HALF + logits,
        states=0.0,
        overhead=OVERHEAD[engine] * boards,
    )


def to_train(
    model: Architecture,
    form: Format,
    trained: float,
    sequences: float,
    tokens: float,
    boards: int = 1,
) -> Need:
    """What fine-tuning needs: AdamW in mixed precision, activations kept per block
    (checkpointing).

    Parameters
    ----------
    trained
        parameters that are trained: all of them, or those of LoRA's two factors
        (`lora_parameters`).
    """
    whole = trained >= model.parameters
    held = model.parameters * HALF if whole else weights_bytes(model, form)
    more = TRAINED - HALF if whole else TRAINED
    passing = sequences * tokens * model.hidden * HALF
    logits = sequences * tokens * model.head / max(model.hidden, 1) * FLOAT32
    return Need(
        weights=held,
        cache=0.0,
        activations=passing * (model.layers + 2 * VECTORS) + 2 * logits,
        states=trained * (ADAM + more),
        overhead=OVERHEAD["transformers"] * boards,
    )


def lora_parameters(model: Architecture, rank: int) -> float:
    """Parameters of LoRA on all linear layers of all blocks: rank × (inputs + outputs) of each (Hu
    et al. 2022, arXiv 2106.09685, section 4.1).
    """
    kv = model.kv_elements / 2
    attention = 2 * (model.hidden + model.attention_width) + 2 * (model.hidden + kv)
    return float(rank * model.layers * (attention + 3 * (model.hidden + model.inner)))


def to_calibrate(model: Architecture, samples: int, tokens: int, second_order: bool) -> Need:
    """What pruning and quantizing with calibration need on the device: one block at a time, in 32
    bits, the hidden states of all samples before and after it, and statistics of its inputs.

    Parameters
    ----------
    second_order
        whether a Hessian of each layer's inputs is kept and factored (SparseGPT, GPTQ), or only
        their norms.
    """
    block = (model.linear + model.routed) / model.layers * FLOAT32
    states = 2.0 * samples * tokens * model.hidden * HALF
    widest = max(model.inner, model.hidden)
    statistics = FLOAT32 * (3 * widest**2 if second_order else widest)
    return Need(
        weights=block,
        cache=0.0,
        activations=states + tokens * model.hidden * VECTORS * FLOAT32,
        states=statistics,
        overhead=OVERHEAD["transformers"],
    )
