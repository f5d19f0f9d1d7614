"""Every quantization loads, generates and is what it says."""

import json
import shutil

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from helpers import references, tiny_model
from joulegrid.compression import making, verification
from joulegrid.compression.pruning import magnitude
from joulegrid.compression.quantization import awq, gptqmodel_run
from joulegrid.engines import Request
from joulegrid.engines import transformers as engine
from joulegrid.engines.transformers import sparse
from joulegrid.engines.transformers.loading import bitsandbytes_4bit
from joulegrid.errors import InputError, Unsupported
from joulegrid.jobs.outcomes import outcome
from joulegrid.jobs.weights import finding_in
from joulegrid.models.content import content_hash
from joulegrid.models.describe import describe
from joulegrid.models.files import stored_bytes
from joulegrid.texts.calibration import calibration_tokens
from joulegrid.texts.files import text_of


def load(folder, entry, batch_size=1):
    return engine.load(folder, entry, CPU, {"batch_size": batch_size})


def written(loaded, new_tokens, *prompts):
    """How many tokens a loaded model writes in answer to all prompts."""
    requests = [Request(prompt, new_tokens, chat=False) for prompt in prompts]
    return sum(completion.tokens_written for completion in loaded.run(requests))


def four_bit(kind, double):
    return {
        "method": "bitsandbytes-4bit",
        "type": kind,
        "compute_dtype": "float32",
        "double_quantization": double,
    }


TEXT = {"text": {"path": "config/texts/calibration.txt"}, "samples": 8, "tokens": 64}
CPU = {"device": "cpu"}
LOAD_TIME = [
    ({"method": "cast", "dtype": "float32"}, "Linear", 1.0),
    ({"method": "cast", "dtype": "bfloat16"}, "Linear", 0.5),
    ({"method": "cast", "dtype": "float16"}, "Linear", 0.5),
    ({"method": "llm-int8", "compute_dtype": "float32"}, "Linear8bitLt", 0.52),
    (four_bit("nf4", False), "Linear4bit", 0.43),
    (four_bit("fp4", False), "Linear4bit", 0.43),
    (four_bit("nf4", True), "Linear4bit", 0.43),
]


@pytest.mark.parametrize(
    ("entry", "kernel", "share"),
    LOAD_TIME,
    ids=["-".join(map(str, e[0].values())) for e in LOAD_TIME],
)
def test_methods_that_quantize_while_loading(tiny, entry, kernel, share):
    loaded = load(tiny, entry, 2)
    assert written(loaded, 4, "one two", "three") == 8
    facts = loaded.describe()
    assert facts["kernels"][kernel] >= 14
    # linear layers shrink with the bits; embedding, head and norms do not
    full = describe(tiny)["parameters"] * 4
    assert facts["weights_bytes"] / full == pytest.approx(share, abs=0.12)


@pytest.mark.parametrize("kind", ["nf4", "fp4"])
@pytest.mark.parametrize("double", [False, True])
def test_four_bit_weights_lie_on_the_types_grid(tiny, kind, double):
    """Sixteen values per block of 64 (QLoRA's appendix E), scaled by the block's largest."""
    from bitsandbytes.functional import dequantize_4bit

    nf4 = [-1.0, -0.6962, -0.5251, -0.3949, -0.2844, -0.1848, -0.0911, 0.0]
    nf4 += [0.0796, 0.1609, 0.2461, 0.3379, 0.4407, 0.5626, 0.7230, 1.0]
    fp4 = [
        sign * value
        for value in (0, 1 / 192, 2 / 3, 1, 1 / 3, 1 / 2, 1 / 6, 1 / 4)
        for sign in (1, -1)
    ]
    model = bitsandbytes_4bit.load(tiny, four_bit(kind, double), "cpu")
    layer = model.model.layers[0].mlp.up_proj
    dense = AutoModelForCausalLM.from_pretrained(tiny).model.layers[0].mlp.up_proj.weight
    values = dequantize_4bit(layer.weight.data, layer.weight.quant_state).reshape(-1, 64)
    scale = values.abs().amax(dim=1, keepdim=True)
    grid = torch.tensor(nf4 if kind == "nf4" else fp4)
    distance = ((values / scale)[..., None] - grid).abs().amin(dim=-1)
    assert distance.max() < 1e-3
    wanted = dense.reshape(-1, 64).abs().amax(dim=1, keepdim=True)
    torch.testing.assert_close(scale, wanted.detach(), rtol=0.05 if double else 1e-5, atol=1e-5)


def test_the_weights_own_generation_settings_do_not_decide(tiny, tmp_path):
    def tokens(folder):
        loaded = load(folder, LOAD_TIME[0][0], 2)
        seen = []
        original = loaded.model.generate
        loaded.model.generate = lambda **kwargs: seen.append(original(**kwargs)) or seen[-1]
        assert written(loaded, 12, "one two", "three") == 24
        return seen[0].tolist()

    hostile = tmp_path / "hostile"
    shutil.copytree(tiny, hostile)
    settings = {
        "num_beams": 3,
        "repetition_penalty": 1.5,
        "do_sample": True,
        "no_repeat_ngram_size": 1,
        "max_time": 0.001,
    }
    (hostile / "generation_config.json").write_text(json.dumps(settings))
    assert tokens(hostile) == tokens(tiny)


def gptq_entry(bits=4, group=32, act_order=False, kernel="gptq_torch"):
    dtype = "float32" if bits in (2, 3, 4, 8) else "bfloat16"
    return {
        "method": "gptq",
        "bits": bits,
        "group_size": group,
        "act_order": act_order,
        "calibration": TEXT,
        "compute_dtype": dtype,
        "kernel": kernel,
    }


AWQ = {
    "method": "awq",
    "bits": 4,
    "group_size": 32,
    "calibration": TEXT,
    "compute_dtype": "float32",
    "kernel": "torch_awq",
}


@pytest.fixture(scope="module")
def wider(tmp_path_factory):
    """Hidden size 192 = 1.5 × 128, and 384 channels: multiples of what AWQ asks for, not of 256."""
    return tiny_model.make(tmp_path_factory.mktemp("wider"), 192, heads=6, key_values=2)


FP8 = {"method": "fp8", "compute_dtype": "float32"}


def made(source, entry, folder):
    """The folder of quantized weights, and the notes of their making."""
    folder.mkdir(parents=True, exist_ok=True)
    return folder, making.quantize(source, folder, entry, 0, "cpu")


def quantized(source, entry, folder):
    folder, notes = made(source, entry, folder)
    return load(folder, entry), notes


@pytest.mark.parametrize(
    ("bits", "group", "act_order"),
    [
        (2, 32, False),
        (3, 32, False),
        (4, 128, False),
        (4, 64, True),
        (5, 64, False),
        (7, 64, False),
        (8, -1, False),
    ],
)
def test_gptq_weights_lie_on_the_grid_of_their_group(wider, tmp_path, bits, group, act_order):
    """2^bits levels of equal distance in every group of a row; the last one may be short."""
    loaded, notes = quantized(wider, gptq_entry(bits, group, act_order), tmp_path / "gptq")
    assert notes["calibration"] == {"samples": 8, "distinct_samples": 8}
    assert notes["fallback_layers"] == []
    assert notes["error_mean"] > 0
    layers = gptqmodel_run.quantized_layers(loaded.model)
    assert len(layers) == 14
    for name, layer in layers.items():
        values = gptqmodel_run.dequantized(layer, loaded.model.dtype).float()
        columns = values.shape[1]
        size = columns if group == -1 else group
        index = layer.g_idx.long()
        if not act_order:
            assert torch.equal(index, torch.arange(columns) // size), name
        assert torch.bincount(index).tolist() == [
            min(size, columns - at) for at in range(0, columns, size)
        ]
        scales = layer.scales.float()[index].T
        steps = values / scales
        # scale times level is rounded to 16 bits: float16 or, with 5 to 7 bits, bfloat16
        tolerance = 2 ** (bits - 1) * (2**-10 if loaded.model.dtype == torch.float32 else 2**-7)
        assert (steps - steps.round()).abs().max() < tolerance, name
        assert steps.round().min() >= -(2 ** (bits - 1)), name
        assert steps.round().max() <= 2 ** (bits - 1) - 1, name


def test_gptq_is_better_than_rounding_to_nearest(wider, tmp_path):
    """On the inputs of calibration, in the first block: quantization has not changed these."""
    loaded, _ = quantized(wider, gptq_entry(3, 64), tmp_path / "gptq")
    model = AutoModelForCausalLM.from_pretrained(wider).eval()
    dense = model.model.layers[0].self_attn.q_proj
    seen = []
    dense.register_forward_pre_hook(lambda m, given: seen.append(given[0].flatten(0, 1)))
    tokens = calibration_tokens(TEXT, AutoTokenizer.from_pretrained(wider), 0)
    with torch.inference_mode():
        model(input_ids=tokens)
    x, w = seen[0].double(), dense.weight.detach().double()
    by_gptq = gptqmodel_run.dequantized(loaded.model.model.layers[0].self_attn.q_proj).double()
    by_rounding = references.gptq_rtn(w, 3, 64)
    assert ((w - by_gptq) @ x.T).norm() < 0.95 * ((w - by_rounding) @ x.T).norm()


def test_awq_weights_lie_on_the_grid_of_their_group_and_zeros_of_groups_are_right(wider, tmp_path):
    loaded, _ = quantized(wider, AWQ, tmp_path / "awq")
    assert loaded.describe()["kernels"]["AwqTorchLinear"] == 14
    for name, layer in gptqmodel_run.quantized_layers(loaded.model).items():
        values = gptqmodel_run.dequantized(layer)
        scales = layer.scales.float()[torch.arange(values.shape[1]) // 32].T
        steps = values / scales
        assert (steps - steps.round()).abs().max() < 16 * 2**-10, name  # 16-bit products
        for group in steps.round().split(32, dim=1):
            assert (group.amax(dim=1) - group.amin(dim=1)).max() <= 15, name
    assert written(loaded, 3, "one two") == 3


def test_sizes_that_awq_cannot_have_are_findings(tiny, wider):
    with pytest.raises(Unsupported, match=r"k_proj: 32 outputs are not a multiple of 64"):
        awq.check(tiny, AWQ)
    with pytest.raises(Unsupported, match="192 inputs are not a multiple of group_size 128"):
        awq.check(wider, {**AWQ, "group_size": 128})


def test_fp8_computes_what_the_reference_computes(wider, tmp_path):
    loaded, notes = quantized(wider, FP8, tmp_path / "fp8")
    assert notes == {}
    assert loaded.model.model.layers[0].mlp.up_proj.weight.dtype == torch.float8_e4m3fn
    dense = AutoModelForCausalLM.from_pretrained(wider)
    x = (
        torch.randn(20, 192, generator=torch.Generator().manual_seed(0))
        * torch.arange(1, 21)[:, None]
    )
    loaded.model(
        input_ids=torch.arange(4)[None]
    )  # emulation unpacks the weights with the first forward pass
    for name in ("self_attn.q_proj", "mlp.up_proj"):
        weight = dense.get_submodule(f"model.layers.0.{name}").weight
        with torch.inference_mode():
            found = loaded.model.get_submodule(f"model.layers.0.{name}")(x[None])[0]
        wanted = references.fp8_dynamic(weight.detach(), x)
        error = (found - wanted).norm() / wanted.norm()
        assert error < 1e-3, (
            name
        )  # rounding ties aside; FP8 itself is 30 times as far from the dense product
        assert (x @ weight.T - wanted).norm() / wanted.norm() > 1e-2
    assert loaded.describe()["kernels"] == {"Linear (quantization emulated)": 14, "Linear": 1}


@pytest.mark.parametrize("entry", [gptq_entry(4, 32), AWQ, FP8], ids=["gptq", "awq", "fp8"])
def test_what_becomes_of_pruned_zeros_is_measured_after_reloading(wider, tmp_path, entry):
    """FP8 keeps every zero. GPTQ's grid has a zero, but error compensation moves weights off it."""
    model = AutoModelForCausalLM.from_pretrained(wider)
    magnitude.prune(model, {"pattern": "2:4"})
    model.save_pretrained(tmp_path / "pruned")
    AutoTokenizer.from_pretrained(wider).save_pretrained(tmp_path / "pruned")
    folders = [made(wider, entry, tmp_path / "dense")[0]]
    folders += [made(tmp_path / "pruned", entry, tmp_path / "q")[0]]
    described = [verification.describe_quantized(folder, entry) for folder in folders]
    dense, pruned = (found["sparsity"]["mean"] for found in described)
    assert described[0]["bytes"] == stored_bytes(folders[0])
    assert dense < 0.3
    if entry is FP8:
        assert pruned >= 0.5
    else:
        assert pruned > 0.4


def test_weights_that_are_not_finite_have_no_fp8(wider, tmp_path):
    model = AutoModelForCausalLM.from_pretrained(wider)
    model.model.layers[1].mlp.up_proj.weight.data[3, 3] = torch.inf
    model.save_pretrained(tmp_path)
    AutoTokenizer.from_pretrained(wider).save_pretrained(tmp_path)
    with pytest.raises(Unsupported, match=r"layers.1.mlp.up_proj: its weights are not finite"):
        made(tmp_path, FP8, tmp_path / "fp8")


def test_calibration_beyond_the_models_context_is_an_error(tiny, tmp_path):
    entry = {**gptq_entry(), "calibration": {**TEXT, "tokens": 513}}
    with pytest.raises(InputError, match="samples of 513 tokens; the model's context is 512"):
        made(tiny, entry, tmp_path / "gptq")


@pytest.mark.slow
def test_a_quantizing_job_writes_what_was_made_and_what_it_cost(script, tiny, tmp_path):
    spec, folder = {"quantization": gptq_entry(), "seed": 0}, tmp_path / "gptq"
    code, log, record = script("quantize_weights", spec, source=tiny, weights=folder)
    assert code == 0, log
    assert 0 < record["sparsity"]["mean"] < 0.5
    assert record["notes"]["calibration"]["samples"] == 8
    assert record["cost"]["seconds"] > 0
    assert record["memory_bytes"]["ram"] > 0
    loaded = load(folder, gptq_entry())
    assert loaded.describe()["kernels"]["TorchLinear"] == 14
    assert written(loaded, 3, "one two") == 3


@pytest.mark.slow
def test_ready_made_weights_are_fetched_with_what_their_configuration_says(script, tiny, tmp_path):
    theirs, folder = tmp_path / "theirs", tmp_path / "fetched"
    shutil.copytree(tiny, theirs)
    spec = {"source": {"path": {"path": str(theirs), "sha256": content_hash(theirs)}}}
    code, log, record = script("fetch_weights", spec, weights=folder)
    assert (code, record) == (1, None)
    assert f"error: {theirs}: config.json has no quantization_config" in log
    assert "Traceback" not in log
    assert not folder.exists()
    config = json.loads((theirs / "config.json").read_text())
    config["quantization_config"] = {"quant_method": "awq", "bits": 4}
    (theirs / "config.json").write_text(json.dumps(config))
    code, log, record = script("fetch_weights", spec, weights=folder)
    assert (code, record) == (1, None)
    assert f"error: {theirs}: the model has changed since this job was planned" in log
    spec["source"]["path"]["sha256"] = content_hash(theirs)
    code, log, record = script("fetch_weights", spec, weights=folder)
    assert code == 0, log
    assert record["notes"] == {"quant_method": "awq", "bits": 4}
    assert record["bytes"] == (theirs / "model.safetensors").stat().st_size
    assert finding_in(folder) is None
    (theirs / "config.json").write_text(json.dumps({**config, "bos_token_id": 1}))
    with pytest.raises(InputError, match="have changed since they were fetched"):
        finding_in(folder)


def test_ready_made_weights_run(wider, tmp_path):
    folder, _ = made(wider, AWQ, tmp_path / "theirs")
    loaded = load(folder, {"method": "prequantized", "compute_dtype": "float32"})
    assert any("Awq" in name for name in loaded.describe()["kernels"])
    assert written(loaded, 3, "one two") == 3


def test_ready_made_vptq_weights_run(wider, tmp_path):
    """Vectors of 4 weights out of a codebook of 64 (Liu et al. 2024, arXiv 2409.17066)."""
    codebook = {
        "vector_lens": [-1, 4],
        "num_centroids": [-1, 64],
        "num_res_centroids": [-1, -1],
        "kmeans_iters": 5,
    }
    config = gptqmodel_run.gptqmodel.QuantizeConfig(method="vptq", format="vptq", **codebook)
    tokens = calibration_tokens(TEXT, AutoTokenizer.from_pretrained(wider), 0).tolist()
    maker = gptqmodel_run.gptqmodel.GPTQModel.load(str(wider), config, device="cpu")
    maker.quantize(
        [{"input_ids": row, "attention_mask": [1] * len(row)} for row in tokens], batch_size=4
    )
    maker.save(str(tmp_path / "vptq"))
    entry = {"method": "prequantized", "compute_dtype": "float32"}
    loaded = load(tmp_path / "vptq", entry)
    assert loaded.describe()["kernels"]["VPTQLinear"] == 14
    assert written(loaded, 3, "one two") == 3


def test_a_format_whose_library_is_not_installed_is_a_finding(wider, tmp_path):
    shutil.copytree(wider, tmp_path / "w")
    config = json.loads((tmp_path / "w/config.json").read_text())
    config["quantization_config"] = {"quant_method": "aqlm"}
    (tmp_path / "w/config.json").write_text(json.dumps(config))
    entry = {"method": "prequantized", "compute_dtype": "float32"}
    with pytest.raises(Unsupported, match="aqlm"):
        load(tmp_path / "w", entry)


def test_weights_of_an_unknown_method_are_a_finding_and_never_random(wider, tmp_path):
    quantized(wider, gptq_entry(), tmp_path / "w")
    config = json.loads((tmp_path / "w/config.json").read_text())
    config["quantization_config"]["quant_method"] = "exl3"
    (tmp_path / "w/config.json").write_text(json.dumps(config))
    entry = {"method": "prequantized", "compute_dtype": "float32"}
    with pytest.raises(
        Unsupported, match=r"does not load weights quantized by .exl3.: no model\.layers\.0"
    ):
        load(tmp_path / "w", entry)


@pytest.mark.parametrize("kernel", ["gptq_marlin", "gptq_triton", "gptq_exllama_v2"])
def test_a_kernel_that_this_device_does_not_have_is_a_finding(wider, tmp_path, kernel):
    quantized(wider, gptq_entry(), tmp_path / "w")
    entry = {**gptq_entry(kernel=kernel), "compute_dtype": "float16"}
    found = outcome(lambda: {"engine": load(tmp_path / "w", entry)})
    assert found["status"] == "unsupported", found


def test_sparse_kernels_ask_for_a_gpu_a_pattern_and_16_bits(tiny):
    model = AutoModelForCausalLM.from_pretrained(tiny, dtype=torch.bfloat16)
    options = {"batch_size": 1, "sparse_kernels": True}
    with pytest.raises(
        Unsupported, match=r"needs an NVIDIA GPU of compute capability 8.0 or later, this is a CPU"
    ):
        engine.load(tiny, {"method": "cast", "dtype": "bfloat16"}, CPU, options)
    with pytest.raises(Unsupported, match='needs weights pruned with pattern "2:4"'):
        sparse.convertible(model)
    with pytest.raises(Unsupported, match="needs weights in float16 or bfloat16"):
        sparse.convertible(AutoModelForCausalLM.from_pretrained(tiny))
    magnitude.prune(model, {"pattern": "2:4", "modules": ["mlp.*"]})
    assert len(sparse.convertible(model)) == 6


def test_too_short_a_calibration_text_is_named(tiny, tmp_path):
    path = tmp_path / "short.txt"
    path.write_text("too short")
    with pytest.raises(
        InputError, match=r"short.txt: \d+ tokens give 0 different pieces of 64 tokens"
    ):
        calibration_tokens(
            {**TEXT, "text": {"path": str(path)}}, AutoTokenizer.from_pretrained(tiny), 0
        )
    path.write_bytes(b"caf\xe9")
    with pytest.raises(InputError, match=r"short.txt: not a text in UTF-8 \(byte 3, in line 1\)"):
        calibration_tokens(
            {**TEXT, "text": {"path": str(path)}}, AutoTokenizer.from_pretrained(tiny), 0
        )
    with pytest.raises(InputError, match="samples of 64 tokens; the model's context is 32"):
        calibration_tokens(TEXT, AutoTokenizer.from_pretrained(tiny), 0, 32)


def test_prompts_can_be_the_calibration_text(tiny):
    tokenizer = AutoTokenizer.from_pretrained(tiny)
    entry = {"text": {"path": "config/prompts/questions.jsonl"}, "samples": 1, "tokens": 100}
    text = tokenizer.decode(calibration_tokens(entry, tokenizer, 0)[0])
    assert '"prompt"' not in text
    assert text in text_of(entry["text"])


def test_calibration_samples_are_seeded(tiny):
    tokenizer = AutoTokenizer.from_pretrained(tiny)
    first, again, other = (calibration_tokens(TEXT, tokenizer, seed) for seed in (0, 0, 1))
    assert first.shape == (8, 64)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_lm_eval_runs_a_local_task(tiny):
    from joulegrid.quality import lm_eval

    loaded = load(tiny, LOAD_TIME[0][0])
    task = {
        "task": "facts",
        "folder": {"path": "config/tasks/facts"},
        "fewshot": 0,
        "batch_size": 8,
        "metrics": ["acc", "acc_norm"],
        "directions": {},
    }
    found = lm_eval.evaluate(loaded.model, loaded.tokenizer, task, 0)
    assert set(found) == {"acc", "acc_norm"}
    assert 0 <= found["acc"]["value"] <= 1
    assert found["acc"]["higher_is_better"] is True
    with pytest.raises(InputError, match="no metric 'f1'; it has acc,none, acc_norm,none"):
        lm_eval.evaluate(loaded.model, loaded.tokenizer, {**task, "metrics": ["f1"], "limit": 2}, 0)
    with pytest.raises(InputError, match="no task 'fact'"):
        lm_eval.evaluate(loaded.model, loaded.tokenizer, {**task, "task": "fact"}, 0)
