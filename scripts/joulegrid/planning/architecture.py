"""What of a model decides time and memory, out of its config.json. Nothing is loaded.

Counted are the parameters that a step of decoding reads: linear layers, the output head, experts;
the input embedding is looked up, not read. Norms and biases are counted with the linear layers.
Architectures are told apart by the keys that they have, not by a list of names, but for the few
facts that no key says (`TWO_MATRICES`, `TIED`).
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

# Public models: `hub` names, `parameters` as transformers 5.23 counts them on the meta device (of
# several modalities the text part), `config` what their config.json says of sizes
TABLE = Path(__file__).with_name("models.json")

# MLPs of two matrices instead of three with a gate
TWO_MATRICES = {"gpt2", "gptj", "gpt_neo", "gpt_neox", "gpt_bigcode", "starcoder2", "falcon"}
TWO_MATRICES |= {"opt", "bloom", "mpt", "phi", "nemotron", "nemotron_h", "persimmon"}
# Architectures whose output head is the input embedding unless the configuration says otherwise
TIED = {"gpt2", "gpt_bigcode", "starcoder2", "falcon", "opt", "bloom", "mpt", "phi3small"}
TIED |= {"gemma", "gemma2", "gemma3", "gemma3_text"}
INNER_KEYS = ("intermediate_size", "n_inner", "ffn_dim", "ffn_hidden_size", "ff_intermediate_size")
Attention = tuple[float, float, float]
BYTES_OF_STATE = 4  # Mamba keeps its recurrent state in float32


@dataclass(frozen=True)
class Architecture:
    """The sizes of a decoder.

    Parameters
    ----------
    parameters
        all of them.
    linear
        parameters that every token passes: attention, dense MLPs, shared experts, norms; without
        embedding and head.
    head
        parameters of the output head; stored once more only where `tied` is false.
    embedding
        parameters of the input embedding.
    routed
        parameters of all routed experts together.
    experts, experts_per_token
        how many there are in a layer and how many a token passes; 0 without.
    layers
        decoder blocks.
    attention_layers
        blocks whose attention sees the whole sequence.
    windowed_layers, window
        blocks whose attention sees the last `window` tokens only.
    attention_width
        query heads times head size; where queries and values differ in size (MLA), the mean.
    kv_elements
        numbers that one token leaves in the cache of one layer: 2 × KV heads × head size, or the
        latent vector of MLA.
    hidden, inner
        width of the residual stream, and of a dense MLP (of an expert where there is none).
    state_bytes
        recurrent state of one sequence in all layers (Mamba), read and written every step, bytes.
    """

    parameters: float
    linear: float
    head: float
    embedding: float
    routed: float
    experts: int
    experts_per_token: int
    layers: int
    attention_layers: int
    windowed_layers: int
    window: int
    attention_width: float
    kv_elements: float
    hidden: int
    inner: int
    state_bytes: float = 0.0

    @property
    def tied(self) -> bool:
        """Whether the output head is the input embedding."""
        return self.parameters < self.linear + self.routed + self.head + self.embedding - 0.5

    @property
    def active(self) -> float:
        """Parameters that one token is multiplied with."""
        share = self.experts_per_token / self.experts if self.experts else 0.0
        return self.linear + self.head + self.routed * share

    def routed_read(self, batch: float) -> float:
        """Parameters of routed experts that a batch of tokens touches: each token takes k of E,
        independently, so that 1 − (1 − k/E)^B of them are read.
        """
        if not self.experts:
            return 0.0
        return self.routed * (1 - (1 - self.experts_per_token / self.experts) ** batch)

    def kv_tokens(self, length: float) -> float:
        """Tokens in the caches of all layers at a sequence of this length."""
        return self.attention_layers * length + self.windowed_layers * min(length, self.window)


def from_config(config: Mapping[str, Any]) -> Architecture | None:
    """The sizes that a config.json tells; None where it is no decoder that we know how to count.

    Of models of several modalities the text part is counted.
    """
    sizes = {**config, **config["text_config"]} if "text_config" in config else config
    hidden = _first(sizes, "hidden_size", "n_embd", "d_model")
    layers = _first(sizes, "num_hidden_layers", "n_layer", "n_layers", "num_layers")
    heads = _first(sizes, "num_attention_heads", "n_head", "n_heads")
    vocabulary = sizes.get("vocab_size")
    if not (hidden and layers and heads and vocabulary) or sizes.get("is_encoder_decoder"):
        return None
    head_size = sizes.get("head_dim") or hidden // heads
    attention, kv_elements, width = _attention(sizes, hidden, heads, head_size)
    blocks = _blocks(sizes, layers)
    mlp, routed, experts, chosen = _mlp(sizes, hidden, blocks["mlp"])
    mamba, state = _mamba(sizes, hidden, blocks["mamba"])
    norms = 2 * hidden * layers + hidden
    linear = attention * blocks["attention"] + mlp + mamba + norms
    embedding = float(vocabulary * (sizes.get("word_embed_proj_dim") or hidden))
    tied = sizes.get("tie_word_embeddings", sizes.get("model_type") in TIED)
    positions = _positions(sizes, hidden)
    windowed = _windowed(sizes, blocks["attention"])
    return Architecture(
        parameters=linear + routed + embedding * (1 if tied else 2) + positions,
        linear=linear,
        head=embedding,
        embedding=embedding,
        routed=routed,
        experts=experts,
        experts_per_token=chosen,
        layers=layers,
        attention_layers=blocks["attention"] - windowed,
        windowed_layers=windowed,
        window=int(_first(sizes, "sliding_window", "attention_chunk_size") or 0),
        attention_width=width,
        kv_elements=kv_elements,
        hidden=hidden,
        inner=int(_inner(sizes, hidden)),
        state_bytes=state,
    )


@cache
def known_models() -> dict[str, dict[str, Any]]:
    """Name -> hub, parameters, config of the models of the table."""
    return json.loads(TABLE.read_text(encoding="utf-8"))


def known_config(name: str) -> dict[str, Any] | None:
    """What the config.json says of sizes, of a hub model that is in the table by the last part of
    its name.
    """
    last = name.rsplit("/", 1)[-1]
    return next((m["config"] for m in known_models().values() if last in m["hub"]), None)


def _first(config: Mapping[str, Any], *keys: str) -> Any:
    return next((config[key] for key in keys if config.get(key)), None)


def _kv_heads(config: Mapping[str, Any], heads: int) -> int:
    if config.get("num_key_value_heads"):
        return config["num_key_value_heads"]
    if config.get("new_decoder_architecture"):
        return config.get("num_kv_heads") or heads
    if config.get("multi_query"):
        return 1
    return _first(config, "num_kv_heads", "n_head_kv") or heads


def _attention(config: Mapping[str, Any], hidden: int, heads: int, size: int) -> Attention:
    """Parameters of one block's attention, what a token leaves in its cache, and its width."""
    if config.get("kv_lora_rank"):
        return _latent_attention(config, hidden, heads)
    kv = _kv_heads(config, heads) * size
    width = heads * size
    biases = (width + 2 * kv) * bool(
        config.get("attention_bias", config.get("model_type") in ("qwen2", "qwen2_moe", "gpt2"))
    )
    gate = hidden * width * bool(config.get("attn_output_gate"))
    return hidden * (2 * width + 2 * kv) + biases + gate, 2.0 * kv, float(width)


def _latent_attention(config: Mapping[str, Any], hidden: int, heads: int) -> Attention:
    """MLA (DeepSeek-AI 2024, arXiv 2405.04434, section 2.1): keys and values are one latent vector
    and a rotary part that all heads share.
    """
    rope, nope = config["qk_rope_head_dim"], config["qk_nope_head_dim"]
    value, rank = config["v_head_dim"], config["kv_lora_rank"]
    low = config.get("q_lora_rank")
    query = heads * (nope + rope)
    queries = hidden * low + low * query if low else hidden * query
    keys = hidden * (rank + rope) + rank * heads * (nope + value)
    width = (query + heads * value) / 2
    return queries + keys + heads * value * hidden, float(rank + rope), width


def _blocks(config: Mapping[str, Any], layers: int) -> dict[str, int]:
    """How many blocks have an attention, an MLP and a Mamba part."""
    pattern = config.get("hybrid_override_pattern")
    if pattern:  # Nemotron-H: one part per block
        return {
            "attention": pattern.count("*"),
            "mlp": pattern.count("-") + pattern.count("E"),
            "mamba": pattern.count("M"),
        }
    kinds = config.get("layer_types") or config.get("layers_block_type") or []
    mamba = sum(kind in ("mamba", "linear_attention") for kind in kinds)
    return {"attention": layers - mamba, "mlp": layers, "mamba": mamba}


def _inner(config: Mapping[str, Any], hidden: int) -> int:
    """Width of a dense MLP: GPT's and Falcon's is four times the hidden one where none is said."""
    known = _first(config, *INNER_KEYS)
    return known or 4 * hidden


def _mlp(config: Mapping[str, Any], hidden: int, blocks: int) -> tuple[float, float, int, int]:
    """Parameters of all dense MLPs and shared experts, of all routed experts; experts of a layer,
    and of a token.
    """
    matrices = 2 if config.get("model_type") in TWO_MATRICES else 3
    inner = _inner(config, hidden)
    experts = _first(config, "num_local_experts", "num_experts", "n_routed_experts") or 0
    if not experts:
        return float(blocks * matrices * hidden * inner), 0.0, 0, 0
    sparse = _sparse_blocks(config, blocks)
    width = _first(config, "moe_intermediate_size", "expert_dim") or inner
    shared = config.get("shared_expert_intermediate_size") or width * (
        config.get("n_shared_experts") or int(config.get("model_type") == "llama4_text")
    )
    dense_width = config.get("intermediate_size_mlp") or inner
    dense = (blocks - sparse) * matrices * hidden * dense_width
    always = sparse * hidden * (matrices * shared + experts)  # shared experts and router
    chosen = _first(config, "num_experts_per_tok", "experts_per_token") or 1
    routed = sparse * experts * matrices * hidden * width
    return float(dense + always), float(routed), int(experts), int(chosen)


def _sparse_blocks(config: Mapping[str, Any], blocks: int) -> int:
    """Blocks with experts: all but the first dense ones, or every n-th."""
    step = _first(config, "decoder_sparse_step", "interleave_moe_layer_step") or 1
    dense = config.get("mlp_only_layers") or []
    first = config.get("first_k_dense_replace") or 0
    return sum((i + 1) % step == 0 and i not in dense and i >= first for i in range(blocks))


def _mamba(config: Mapping[str, Any], hidden: int, blocks: int) -> tuple[float, float]:
    """Parameters of all Mamba-2 parts (Dao and Gu 2024, arXiv 2405.21060), and the state of one
    sequence in them, bytes.
    """
    heads, size = config.get("mamba_num_heads"), config.get("mamba_head_dim")
    if not (blocks and heads and size):
        return 0.0, 0.0
    groups, state = config.get("n_groups", 1), config.get("ssm_state_size", 128)
    inner = heads * size
    mixed = inner + 2 * groups * state  # what the convolution sees
    kernel = config.get("conv_kernel", 4)
    parameters = hidden * (inner + mixed + heads) + mixed * kernel + inner * hidden
    kept = inner * state * BYTES_OF_STATE + mixed * kernel * 2
    return float(blocks * parameters), float(blocks * kept)


def _positions(config: Mapping[str, Any], hidden: int) -> int:
    """Learned embeddings of positions, of the oldest models."""
    if config.get("model_type") in ("gpt2", "gpt_bigcode", "opt"):
        length = _first(config, "n_positions", "max_position_embeddings")
        return int(length or 0) * hidden
    return 0


def _windowed(config: Mapping[str, Any], layers: int) -> int:
    """Blocks whose attention sees a window only."""
    kinds = config.get("layer_types")
    if kinds:
        return sum(kind in ("sliding_attention", "chunked_attention") for kind in kinds)
    kind = config.get("model_type")
    if not _first(config, "sliding_window", "attention_chunk_size"):
        return 0
    if config.get("use_sliding_window") is False:
        return 0
    if kind in ("gemma3", "gemma3_text"):  # five of six
        step = config.get("sliding_window_pattern") or config.get("_sliding_window_pattern") or 6
        return layers - layers // step
    if kind in ("gemma2", "gpt_oss"):  # every other one
        return (layers + 1) // 2
    if kind in ("cohere2", "llama4_text"):  # three of four
        return layers - layers // 4
    if kind == "qwen2":
        return max(layers - config.get("max_window_layers", layers), 0)
    return layers
