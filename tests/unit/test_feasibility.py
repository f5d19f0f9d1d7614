"""Sizes of models from their configurations, the memory that they need, and what cannot run."""

import pytest

from helpers import published
from joulegrid.planning import formats, memory, prediction
from joulegrid.planning.architecture import from_config, known_models
from joulegrid.planning.devices import devices
from joulegrid.planning.feasibility import slower, why_not
from joulegrid.records import ROOT
from joulegrid.study.loadable import at_once

BF16 = {"method": "cast", "dtype": "bfloat16"}
FP16 = {"method": "cast", "dtype": "float16"}
NF4 = {"method": "bitsandbytes-4bit", "type": "nf4", "double_quantization": False}
NF4 |= {"compute_dtype": "float16"}
GPTQ4 = {"method": "gptq", "bits": 4, "group_size": 128, "compute_dtype": "float16"}
GPTQ4 |= {"act_order": False}
FP8 = {"method": "fp8", "scheme": "dynamic", "compute_dtype": "float16"}
GGUF = {"method": "gguf", "type": "Q8_0", "compute_dtype": "float32"}
TRANSFORMERS = {"method": "transformers", "batch_size": 1}
VLLM = {"method": "vllm", "max_num_seqs": 256}
GPU = {"device": "cuda"}
WORKLOAD = {"method": "batch", "new_tokens": 100}


# ---------------------------------------------------------------- sizes
@pytest.mark.parametrize("name", [n for n, f in known_models().items() if f["parameters"]])
def test_parameters_are_those_of_the_real_model(name):
    """Against transformers' own count on the meta device."""
    assert published.architecture(name).parameters == pytest.approx(
        known_models()[name]["parameters"], rel=1e-3
    )


# Of model cards: parameters that a token is multiplied with, billions
ACTIVE = {"Mixtral-8x7B": 12.9, "Qwen3-30B-A3B": 3.3, "Qwen3-235B-A22B": 22.2, "DeepSeek-V3": 37}
ACTIVE |= {"gpt-oss-20b": 3.6, "gpt-oss-120b": 5.1, "Llama-4-Scout": 17.2}


@pytest.mark.parametrize("name", ACTIVE)
def test_active_parameters_of_experts(name):
    """Cards count the input embedding too, which no step multiplies with."""
    assert published.architecture(name).active / 1e9 == pytest.approx(ACTIVE[name], rel=0.08)


def test_what_is_read_of_experts_grows_to_all_of_them():
    model = published.architecture("Mixtral-8x7B")
    assert model.routed_read(1) == pytest.approx(model.routed / 4)
    assert model.routed_read(2) == pytest.approx(model.routed * (1 - 0.75**2))
    assert model.routed_read(1000) == pytest.approx(model.routed)


def test_attention_of_latent_vectors_multiplies_whole_heads():
    """DeepSeek-V3: 128 heads, queries and keys of 128 + 64 numbers, values of 128; 61 layers."""
    model = published.architecture("DeepSeek-V3")
    per_token = 2 * 128 * (128 + 64) + 2 * 128 * 128
    assert prediction.attention_flop(model, 1000) == 61 * 1000 * per_token


SMOLLM2 = {
    "hidden_size": 576,
    "num_hidden_layers": 30,
    "num_attention_heads": 9,
    "num_key_value_heads": 3,
    "intermediate_size": 1536,
    "vocab_size": 49152,
    "tie_word_embeddings": True,
}


def in_gguf(kind):
    return formats.of({"method": "gguf", "type": kind}, "llamacpp", None)


def test_gguf_takes_as_much_as_the_files_that_were_made():
    """Of SmolLM2-135M, whose rows of 576 are no multiple of 256: the table of docs/methods.md, in
    MB, vocabulary included.
    """
    lines = (ROOT / "docs/methods.md").read_text(encoding="utf-8").splitlines()
    made = [
        [part.strip() for part in line.strip("|").split("|")]
        for line in lines
        if line.startswith("|  | gguf-")
    ]
    assert len(made) == 6
    model = from_config(SMOLLM2)
    for _, label, _, files, *_ in made:
        kind = label.removeprefix("gguf-").upper().replace("-", "_")
        assert float(files) * 1e6 == pytest.approx(
            memory.weights_bytes(model, in_gguf(kind)), rel=0.03
        )


def test_gguf_of_a_large_model_has_the_bits_of_its_file():
    """Llama-3.1-8B in Q4_K_M: 4.89 bits a weight, 4.58 GiB (llama.cpp, tools/quantize)."""
    model = published.architecture("Llama-3.1-8B")
    assert memory.weights_bytes(model, in_gguf("Q4_K_M")) == pytest.approx(4.58 * 2**30, rel=2e-3)
    assert memory.weights_bytes(model, in_gguf("F32")) == pytest.approx(4 * model.parameters)
    # llama.cpp looks embeddings up in main memory
    need = memory.to_run(model, in_gguf("Q4_K_M"), "llamacpp", 1, 0, 0)
    looked_up = 128256 * 4096 * 4.5 / 8
    assert need.weights == pytest.approx(4.58 * 2**30 - looked_up, rel=2e-3)


# name -> bytes of the cache of one token: of whole attention, in 16 bits
CACHE = {
    "Llama-2-7B": 2 * 32 * 32 * 128 * 2,
    "Llama-3.1-8B": 2 * 32 * 8 * 128 * 2,
    "falcon-7b": 2 * 32 * 1 * 64 * 2,
    "DeepSeek-V3": 61 * (512 + 64) * 2,
    "Nemotron-Nano-9B-v2": 2 * 4 * 8 * 128 * 2,
}


@pytest.mark.parametrize("name", CACHE)
def test_cache_of_a_token(name):
    model = published.architecture(name)
    found = memory.cache_bytes(model, 1, 1000) - memory.cache_bytes(model, 1, 999)
    assert found == pytest.approx(CACHE[name])


def test_windows_bound_the_cache():
    """Gemma 2: every other layer sees 4,096 tokens; Gemma 3: five of six see 1,024."""
    gemma2, gemma3 = published.architecture("gemma-2-9b"), published.architecture("gemma-3-27b")
    assert gemma2.kv_tokens(10_000) == 21 * 10_000 + 21 * 4096
    assert gemma3.kv_tokens(10_000) == 10 * 10_000 + 52 * 1024
    assert gemma2.kv_tokens(100) == 42 * 100


def test_state_of_mamba_does_not_grow():
    """27 blocks of 128 heads × 80 × 128 in 32 bits, and what the convolution keeps."""
    model = published.architecture("Nemotron-Nano-9B-v2")
    assert model.state_bytes == pytest.approx(27 * 128 * 80 * 128 * 4, rel=0.05)
    assert memory.cache_bytes(model, 3, 0) == 3 * model.state_bytes


@pytest.mark.parametrize("config", [{}, {"model_type": "t5", "is_encoder_decoder": True}])
def test_what_is_no_decoder_is_not_guessed(config):
    assert from_config({**config, "architectures": ["T5"]}) is None


# ---------------------------------------------------------------- memory
def said(name, quantization, device, gpus=1, engine=TRANSFORMERS, tokens_in=50):
    hardware = {**GPU, "gpus": gpus}
    model = published.architecture(name)
    entries, sequences = (quantization, engine, hardware, WORKLOAD), at_once(engine)
    return why_not(model, *entries, devices()[device], tokens_in, sequences)


def test_what_was_too_large_in_dosquet_2025_is_too_large():
    """Full 24B and 30B models do not fit into 40 GB; compressed and on 80 GB they ran."""
    assert said("LLaMA-30B", FP16, "A100-SXM4-40GB") == (
        "needs 67 GB (weights 65.1, cache 0.2, overhead 1.5), A100-SXM4-40GB has 40 GB, 93% of it "
        "usable"
    )
    assert said("Mistral-Small-24B", FP16, "A100-SXM4-40GB").startswith("needs 49 GB")
    for name in ("LLaMA-30B", "Mistral-Small-24B"):
        assert said(name, FP16, "A100-SXM4-80GB") is None
        assert said(name, GPTQ4, "A100-SXM4-40GB") is None


def test_everything_that_was_published_fits():
    """A rule that forbids what ran is wrong; memory of vLLM's cache is what is left."""
    names = ("mlenergy_v1", "mlenergy_v2", "alejandroldz2026")
    for line, row in (each for name in names for each in published.rows(name)):
        work, model, form, machine = row.case
        need = memory.to_run(
            model,
            form,
            machine.engine,
            1,
            work.tokens_in,
            work.tokens_out,
            machine.gpus,
        )
        assert need.total <= machine.device.memory * machine.gpus * memory.USABLE, line


def test_several_boards_hold_what_one_does_not():
    assert said("LLaMA-30B", FP16, "A100-SXM4-40GB", gpus=2) is None
    assert "2 × A30 has 48 GB" in said("LLaMA-30B", FP16, "A30", gpus=2)


def test_a_batch_needs_its_caches():
    """Llama-2-7B: half a megabyte per token, so that 50 sequences of 1,000 tokens need 26 GB."""
    batch = {**TRANSFORMERS, "batch_size": 50}
    assert said("Llama-2-7B", FP16, "A100-SXM4-40GB", tokens_in=900) is None
    assert "cache 26.2" in said("Llama-2-7B", FP16, "A100-SXM4-40GB", engine=batch, tokens_in=900)
    grouped = said("Llama-3.1-8B", BF16, "A100-SXM4-40GB", engine=batch, tokens_in=900)
    assert grouped is None


def test_adapters_of_all_linear_layers():
    """Rank 16 on Llama-3.1-8B: 41.9 million parameters (peft's count)."""
    assert memory.lora_parameters(published.architecture("Llama-3.1-8B"), 16) == 41_943_040


# ---------------------------------------------------------------- support
@pytest.mark.parametrize(
    ("quantization", "engine", "device", "words"),
    [
        (
            {"method": "llm-int8", "compute_dtype": "float16"},
            TRANSFORMERS,
            "V100-PCIe-16GB",
            "INT8",
        ),
        (BF16, VLLM, "T4", "vLLM refuses bfloat16: T4 has compute capability 7.5"),
        (FP16, {**TRANSFORMERS, "sparse_kernels": True}, "T4", "8.0 or later is needed"),
        ({"method": "gguf", "type": "Q8_0"}, VLLM, "L4", "does not load gguf"),
        (FP16, VLLM, "T4", None),
        (FP8, VLLM, "V100-PCIe-16GB", "vLLM has no FP8 for it"),
        (FP8, VLLM, "T4", None),
        (BF16, TRANSFORMERS, "V100-PCIe-16GB", None),
    ],
)
def test_what_a_board_or_engine_cannot(quantization, engine, device, words):
    found = said("Qwen2.5-0.5B", quantization, device, engine=engine)
    assert found is None if words is None else words in found


@pytest.mark.parametrize(
    ("quantization", "engine", "device", "at_once", "words"),
    [
        (BF16, "transformers", "V100-PCIe-16GB", 1, "bfloat16 is emulated"),
        ({"method": "fp8"}, "vllm", "A30", 1, "8-bit weights, 16-bit activations"),
        ({"method": "fp8"}, "vllm", "L4", 1, ""),
        (GPTQ4, "transformers", "T4", 1, "without Marlin"),
        (GPTQ4, "transformers", "A30", 1, ""),
        (NF4, "transformers", "A30", 8, "unpacks 4-bit weights"),
        (NF4, "transformers", "A30", 1, ""),
        (GGUF, "transformers", "A30", 1, "unpacks GGUF to float32"),
    ],
)
def test_what_runs_slower_than_its_format_promises(quantization, engine, device, at_once, words):
    found = slower(quantization, {"method": engine}, devices()[device], at_once)
    assert words in " ".join(found)
    assert bool(found) == bool(words)
