"""Models of random weights: made, loaded and described as any other."""

import json
import re

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

from conftest import ROOT
from joulegrid.errors import InputError
from joulegrid.jobs.weights import finding_in
from joulegrid.models import random
from joulegrid.models.content import TOKENIZER, content_hash, data_files
from joulegrid.models.describe import describe
from joulegrid.records import sha256_file

CONFIGS = ROOT / "config/models"
MINI = sorted(path.stem for path in CONFIGS.glob("mini-*.json"))
# Billions of weights as the publishers state them
PUBLISHED = {
    "codellama-13b": 13.02,
    "codellama-34b": 33.74,
    "codellama-70b": 68.98,
    "codellama-7b": 6.74,
    "gemma-2-2b": 2.61,
    "gemma-2-9b": 9.24,
    "gemma-7b": 8.54,
    "llama-2-13b": 13.02,
    "llama-2-70b": 68.98,
    "llama-2-7b": 6.74,
    "llama-3-8b": 8.03,
    "llama-3.1-70b": 70.55,
    "llama-3.1-8b": 8.03,
    "llama-3.2-1b": 1.24,
    "llama-30b": 32.5,
    "llama-7b": 6.74,
    "mistral-7b-v0.3": 7.25,
    "mistral-nemo-12b": 12.25,
    "mistral-small-3-24b": 23.6,
    "mixtral-8x7b": 46.7,
    "qwen2.5-0.5b": 0.494,
    "qwen2.5-1.5b": 1.54,
    "qwen2.5-7b": 7.62,
    "qwen3-30b-a3b": 30.5,
    "qwen3-8b": 8.19,
}
# of model.safetensors of mini-llama with seed 0: the same on every machine
DRAWN = "01cfcdcd05616a0f0f827fbeddc612fd01e5dec72332e75e3a0c83d3299f112a"


def entry(name, seed=0, **changes):
    config = json.loads((CONFIGS / f"{name}.json").read_text()) | changes
    return {
        "random": {"config": config, "tokenizer": content_hash(ROOT / TOKENIZER)},
        "seed": seed,
    }


def made(folder, name, **more):
    folder.mkdir()
    random.fetch(entry(name, **more), folder)
    return folder


def test_configurations_make_the_published_number_of_weights():
    assert {path.stem for path in CONFIGS.glob("*.json")} == {*PUBLISHED, *MINI}
    for name, billions in PUBLISHED.items():
        config = AutoConfig.for_model(**entry(name)["random"]["config"])
        with torch.device("meta"):
            model = AutoModelForCausalLM.from_config(config)
        count = sum(parameter.numel() for parameter in model.parameters()) / 1e9
        assert count == pytest.approx(billions, rel=0.005), name


@pytest.mark.parametrize("name", MINI)
def test_a_model_of_each_family_loads_whole_and_writes(tmp_path, name):
    folder = made(tmp_path / "m", name)
    model, said = AutoModelForCausalLM.from_pretrained(folder, output_loading_info=True)
    assert not any(said.values()), "every weight is there, and no other"
    assert model.dtype == torch.bfloat16
    tokenizer = AutoTokenizer.from_pretrained(folder)
    text = "The capital of France is 東京, naïvely.\n"
    ids = tokenizer(text, return_tensors="pt")
    assert tokenizer.decode(ids["input_ids"][0]) == text
    assert tokenizer.chat_template is None
    written = model.generate(**ids, max_new_tokens=3, min_new_tokens=3)
    assert written.shape[1] == ids["input_ids"].shape[1] + 3
    for key, parameter in model.named_parameters():
        values = parameter.detach().float()
        if parameter.dim() > 1:
            error = 4 * 0.02 / values.numel() ** 0.5
            assert values.std() == pytest.approx(0.02, abs=error), key
            assert abs(values.mean()) < error, key
        else:  # Gemma's norms multiply by one and their weight
            first = 0.0 if key.endswith(".bias") or name == "mini-gemma" else 1.0
            assert (values == first).all(), key
    facts = describe(folder)
    assert facts["parameters"] == sum(p.numel() for p in model.parameters())
    assert 7e6 < facts["bytes"] < 1e7


def test_the_same_seed_gives_the_same_weights_in_any_number_of_files(tmp_path, monkeypatch):
    whole = made(tmp_path / "a", "mini-llama")
    assert sha256_file(whole / "model.safetensors") == DRAWN
    other = made(tmp_path / "b", "mini-llama", seed=1)
    assert sha256_file(other / "model.safetensors") != DRAWN
    monkeypatch.setattr(random, "SHARD_BYTES", 2_000_000)
    monkeypatch.setattr(random, "CHUNK", 1 << 12)
    parts = made(tmp_path / "c", "mini-llama")
    assert len([path for path in data_files(parts) if path.suffix == ".safetensors"]) > 3
    model, again = (AutoModelForCausalLM.from_pretrained(folder) for folder in (whole, parts))
    for (key, one), two in zip(model.named_parameters(), again.parameters(), strict=True):
        assert torch.equal(one, two), key


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"model_type": "t5"}, "makes no causal language model"),
        ({"model_type": "no-such"}, "no-such"),
        ({"num_attention_heads": "many"}, "makes no causal language model"),
        ({"dtype": "int8"}, "makes no causal language model"),
    ],
)
def test_configurations_that_transformers_does_not_know_are_refused(tmp_path, changes, part):
    with pytest.raises(InputError, match=re.escape(part)) as caught:
        random.fetch(entry("mini-llama", **changes), tmp_path)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.glob("*.safetensors"))


def test_the_job_describes_it_and_sees_when_a_file_is_cut_short(script, tmp_path):
    spec = {"kind": "model", "model": entry("mini-qwen")}
    folder = tmp_path / "weights"
    code, said, record = script("fetch_model", spec, weights=folder)
    assert code == 0, said
    assert (record["source"], record["architecture"]) == ("random", "Qwen2ForCausalLM")
    assert finding_in(folder) is None
    with open(folder / "model.safetensors", "r+b") as stream:
        stream.truncate(1000)
    with pytest.raises(InputError, match="gone or cut short"):
        finding_in(folder)
