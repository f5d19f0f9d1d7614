"""What llama.cpp's files hold is what their types say, and the engine runs them as asked."""

import json
import shutil
from dataclasses import replace
from itertools import pairwise
from types import SimpleNamespace

import gguf as reader
import numpy as np
import pytest
from safetensors.numpy import load_file
from transformers import AutoTokenizer

from helpers import tiny_model
from helpers.greedy import by_transformers, readable, text_of
from joulegrid.compression.quantization import gguf
from joulegrid.compression.verification import describe_quantized
from joulegrid.engines import Request, llamacpp
from joulegrid.errors import InputError, Unsupported

pytestmark = pytest.mark.slow

# Bits per weight with the scales, from the layout of the blocks (ggml-common.h): bytes · 8 /
# weights
BITS = {
    "F32": 32,
    "F16": 16,
    "Q8_0": (2 + 32) * 8 / 32,
    "Q5_0": (2 + 4 + 16) * 8 / 32,
    "Q6_K": (128 + 64 + 16 + 2) * 8 / 256,
    "Q4_K": (2 + 2 + 12 + 128) * 8 / 256,
}
TYPES = [
    "Q2_K",
    "Q3_K_S",
    "Q3_K_M",
    "Q3_K_L",
    "Q4_0",
    "Q4_K_S",
    "Q4_K_M",
    "Q5_0",
    "Q5_K_S",
    "Q5_K_M",
    "Q6_K",
    "Q8_0",
]
CPU = {"device": "cpu", "threads": 1}


def tensors(folder):
    return reader.GGUFReader(folder / "model.gguf").tensors


def quantize(source, folder):
    return gguf.quantize(source, folder, {"type": "Q8_0"}, None, "cpu")


def raw(folder, tensor):
    """A tensor's bytes, read from the file without gguf."""
    data = (folder / "model.gguf").read_bytes()
    return np.frombuffer(data[tensor.data_offset : tensor.data_offset + tensor.n_bytes], np.uint8)


def engine(folder, slots=1, **options):
    return llamacpp.load(folder, {}, CPU, {"slots": slots, **options})


def ask(*prompts, new_tokens=2):
    return [Request(prompt, new_tokens) for prompt in prompts]


def test_q8_0_is_on_its_grid_next_to_the_weights(made):
    folder, notes, source = made(64, "Q8_0", pruned=True)
    assert notes["fallback"] == 0
    for tensor in [t for t in tensors(folder) if t.tensor_type.name == "Q8_0"]:
        blocks = raw(folder, tensor).reshape(-1, 34)
        scale = blocks[:, :2].copy().view(np.float16).astype(np.float32)
        steps = blocks[:, 2:].view(np.int8)
        assert np.abs(steps.astype(int)).max() <= 127
        values = scale * steps
        assert np.array_equal(
            values.ravel(), reader.dequantize(tensor.data, tensor.tensor_type).ravel()
        )
        if tensor.name == "blk.0.ffn_up.weight":
            weights = load_file(source / "model.safetensors")["model.layers.0.mlp.up_proj.weight"]
            # half a step, and what rounding the scale to float16 adds to the largest
            assert (np.abs(values - weights.reshape(values.shape)) <= 0.57 * scale).all()


def q4_k(data):
    """Decode Q4_K: super-blocks of 256, 8 scales and 8 minima of 6 bits packed into 12 bytes."""
    blocks = data.reshape(-1, 144)
    scale, low = (blocks[:, i : i + 2].copy().view(np.float16).astype(np.float32) for i in (0, 2))
    packed, nibbles = blocks[:, 4:16].astype(int), blocks[:, 16:].reshape(-1, 4, 1, 32)
    first, second, third = packed[:, :4], packed[:, 4:8], packed[:, 8:]
    scales = np.hstack([first & 63, (third & 15) | (first >> 6 << 4)])
    minima = np.hstack([second & 63, (third >> 4) | (second >> 6 << 4)])
    steps = np.concatenate([nibbles & 15, nibbles >> 4], axis=2).reshape(-1, 8, 32)
    return (scale * scales)[..., None] * steps - (low * minima)[..., None]


def test_q4_k_is_on_its_grid_next_to_the_weights(made):
    folder, notes, source = made(256, "Q4_K_M")
    assert notes["fallback"] == 0
    found = {t.name: t for t in tensors(folder) if t.tensor_type.name == "Q4_K"}
    assert len(found) == notes["tensor_types"]["Q4_K"] > 5
    for tensor in found.values():
        values = q4_k(raw(folder, tensor)).ravel()
        assert np.allclose(
            values, reader.dequantize(tensor.data, tensor.tensor_type).ravel(), rtol=1e-6, atol=1e-8
        )
    weights = load_file(source / "model.safetensors")["model.layers.0.mlp.up_proj.weight"].ravel()
    error = q4_k(raw(folder, found["blk.0.ffn_up.weight"])).ravel() - weights
    assert np.sqrt((error**2).mean()) < 0.1 * weights.std()


@pytest.mark.parametrize("hidden", [256, 64])
def test_the_file_has_the_size_that_its_types_have(made, hidden):
    folder, notes, _ = made(hidden, "Q4_K_M")
    found = tensors(folder)
    assert sum(notes["tensor_types"].values()) == len(found)
    predicted = sum(int(t.n_elements) * BITS[t.tensor_type.name] / 8 for t in found)
    header = min(t.data_offset for t in found)
    assert (folder / "model.gguf").stat().st_size - header == pytest.approx(predicted, rel=0.02)
    assert header < 30_000


def test_rows_that_are_no_multiple_of_256_are_recorded(made):
    folder, notes, _ = made(64, "Q4_K_M")
    matrices = [t for t in tensors(folder) if len(t.shape) == 2]
    assert notes["fallback"] == len(matrices) == 16
    assert "Q4_K" not in notes["tensor_types"]
    assert {"config.json", "tokenizer.model", "model.gguf"} <= {
        path.name for path in folder.iterdir()
    }
    assert not [path for path in folder.iterdir() if path.is_dir() or path.suffix == ".safetensors"]


@pytest.mark.parametrize("wanted", TYPES)
def test_llama_cpp_runs_every_type_even_where_its_rows_do_not_fit(made, wanted, tmp_path):
    folder, notes, _ = made(64, "F32")
    assert set(notes["tensor_types"]) == {"F32"}
    gguf._quantize(folder / "model.gguf", tmp_path / "model.gguf", wanted)
    loaded = engine(tmp_path)
    assert [answer.tokens_written for answer in loaded.run(ask("one two"))] == [2]
    assert loaded.describe()["weights_bytes"] < (folder / "model.gguf").stat().st_size / 1.7


@pytest.mark.parametrize("slots", [1, 2])
def test_the_engine_writes_as_many_tokens_as_asked_and_the_same_again(made, slots, monkeypatch):
    loaded = engine(made(256, "Q4_K_M")[0], slots)
    requests = ask("one two", "three four five", "six", new_tokens=6)
    heard, order, original = [], [], loaded.server.continued

    def listen(question):
        heard.append([])
        for answer in original(question):
            order.append((answer["index"], answer["stop"]))
            if answer["stop"]:
                heard[-1].append(answer)
            yield answer

    monkeypatch.setattr(loaded.server, "continued", listen)
    runs = [loaded.run(requests) for _ in range(2)]
    assert [len(answers) for answers in heard] == [3, 3], "a batch starts by one question"
    assert {answer["id_slot"] for answers in heard for answer in answers} == set(range(slots))
    for completions in runs:
        assert [answer.tokens_written for answer in completions] == [6, 6, 6]
        read = [answer.tokens_read for answer in completions]
        assert read == [len(prompt) for prompt in loaded.prepare(requests)]
        for answer in completions:
            assert 0 < answer.started_s < answer.first_token_s < answer.done_s
        # the third waits for a slot, at least for what the first that ends takes
        taken_s = min(c.done_s - c.started_s for c in completions[:2])
        assert completions[2].started_s >= taken_s
    third, ended = order.index((2, False)), min(order.index((n, True)) for n in (0, 1))
    assert third > ended, "it is begun when a slot is free"
    assert [answer.text for answer in runs[0]] == [answer.text for answer in runs[1]]


def test_requests_join_as_they_arrive_and_slots_become_free(made):
    loaded = engine(made(256, "Q4_K_M")[0], 2)
    long, *short = ask("one", "two", "three", "four", new_tokens=3)
    requests = [replace(long, new_tokens=450), *short, replace(long, arrival_s=0.5)]
    told = []
    found = loaded.run(requests, report=told.extend)
    assert [c.tokens_written for c in found] == [450, 3, 3, 3, 3]
    assert sorted(told) == [0, 1, 2, 3, 4]
    assert told.index(0) > told.index(3), "three short ones went beside the long one"
    assert found[4].started_s >= 0.49
    one = loaded.run(short, at_once=1)
    spans = sorted((c.started_s, c.done_s) for c in one)
    assert all(before[1] < after[0] + 0.01 for before, after in pairwise(spans))


def test_the_prompts_and_the_first_tokens_are_those_of_transformers(made, tmp_path):
    """In float32: different lengths, cut and repeated prompts, and ends where the model ends."""
    folder, _, source = made(64, "F32")
    asked = [Request(p, 12, False) for p in ("one two", "three four five six", "a")]
    asked += [replace(asked[0], prompt_tokens=n) for n in (3, 40)]
    loaded = engine(folder, 4)
    prompts, answers = by_transformers(source, asked)
    assert loaded.prepare(asked) == prompts
    assert [len(prompt) for prompt in prompts[3:]] == [3, 40]
    pieces = AutoTokenizer.from_pretrained(source).convert_ids_to_tokens
    assert [readable(c.text) for c in loaded.run(asked)] == [
        readable(text_of(pieces(written))) for _, written in answers
    ]
    # a token that the model writes is made the one that ends its answers
    shutil.copy(folder / "model.gguf", tmp_path)
    end = answers[1][1][5]
    field = reader.GGUFReader(tmp_path / "model.gguf", "r+").get_field(
        "tokenizer.ggml.eos_token_id"
    )
    field.parts[field.data[0]][0] = end
    asked = [replace(asked[1], stops=stops) for stops in (True, False)]
    (_, stopped), (_, other) = by_transformers(source, asked, end)[1]
    found = engine(tmp_path, 2).run(asked)
    assert [c.tokens_written for c in found] == [len(stopped), len(other)] == [6, 12]


def test_the_engine_checks_what_the_server_counts(made, monkeypatch):
    loaded = engine(made(64, "F32")[0])
    loaded.run(ask("one"))
    wrong = {
        "index": 0,
        "timings": {"prompt_n": 0},
        "tokens_predicted": 1,
        "content": "",
    }
    monkeypatch.setattr(loaded.server, "continued", lambda question: iter([wrong]))
    with pytest.raises(InputError, match=r"read 0 and wrote 1 tokens, due were \d+ and 2"):
        loaded.run(ask("one"))
    monkeypatch.setattr(loaded.server, "continued", lambda question: iter([]))
    with pytest.raises(InputError, match="ended without an answer to 1 prompts"):
        loaded.run(ask("one"))


def test_a_server_that_is_gone_is_said(made):
    loaded = engine(made(64, "F32")[0])
    question = {"prompt": [[1] * 5000], "n_predict": 1}
    with pytest.raises(InputError, match=r"llama.cpp answers to /completion: .*exceeds the avail"):
        list(loaded.server.continued(question))
    loaded.server.running = SimpleNamespace(listening_address="http://127.0.0.1:9")
    with pytest.raises(InputError, match=r"llama.cpp does not answer to /tokenize: .*refused"):
        loaded.run(ask("one"))


def test_zeros_of_pruned_weights_stay(made):
    folders = made(64, "Q8_0", pruned=True)[0], made(64, "F32")[0]
    pruned, dense = (describe_quantized(folder, {"method": "gguf"}) for folder in folders)
    assert 0.5 <= pruned["sparsity"]["mean"] < 0.53
    assert dense["sparsity"]["mean"] < 0.001
    assert pruned["bytes"] == (folders[0] / "model.gguf").stat().st_size


def test_a_context_that_is_asked_for_is_made_and_too_long_a_prompt_is_a_finding(made, monkeypatch):
    monkeypatch.setattr(llamacpp, "CONTEXT", 256)
    loaded, cut = engine(made(64, "F32")[0], 2), engine(made(64, "F32")[0], context=256)
    assert cut.describe()["settings"]["context"] == "256"
    requests = ask("one two three " * 40, "four", new_tokens=3)
    with pytest.raises(Unsupported, match="a slot holds 256: context of the engine entry"):
        cut.run(requests)
    completions = loaded.run(requests)
    settings = loaded.describe()["settings"]
    assert int(settings["context"]) > 256
    assert settings["slots"] == "2"
    assert [answer.tokens_written for answer in completions] == [3, 3]
    with pytest.raises(
        Unsupported, match=r"prompt and new tokens are \d+ tokens, the model's context is 512"
    ):
        loaded.run(ask("one", new_tokens=600))


def test_what_the_engine_cannot_run_is_a_finding(made, tmp_path):
    with pytest.raises(Unsupported, match="GGUF only"):
        engine(tmp_path)
    if not llamacpp.has_gpu():
        with pytest.raises(Unsupported, match="is built for CPUs only here"):
            llamacpp.load(made(64, "F32")[0], {}, {"device": "cuda"}, {"slots": 1})


def test_a_damaged_file_is_an_error_with_its_reason(made, tmp_path, capfd):
    whole = (made(64, "F32")[0] / "model.gguf").read_bytes()
    (tmp_path / "model.gguf").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match=r"llama.cpp cannot load it: .*not within the file bounds"):
        engine(tmp_path)
    assert "not within the file bounds" in capfd.readouterr().err
    (tmp_path / "model.gguf").write_bytes(b"no GGUF")
    with pytest.raises(InputError, match="invalid magic"):
        engine(tmp_path)


def test_an_unknown_architecture_is_a_finding(made, tmp_path):
    source = tmp_path / "source"
    shutil.copytree(made(64, "F32")[2], source)
    config = json.loads((source / "config.json").read_text())
    (source / "config.json").write_text(
        json.dumps({**config, "architectures": ["NovelForCausalLM"]})
    )
    with pytest.raises(Unsupported, match="NovelForCausalLM is not supported"):
        quantize(source, tmp_path)


def test_a_converter_that_fails_otherwise_is_an_error(made, tmp_path, monkeypatch):
    full = "OSError: [Errno 28] No space left on device"
    monkeypatch.setattr(gguf, "_run", lambda command: (1, [full]))
    with pytest.raises(RuntimeError, match="exit code 1: OSError"):
        quantize(made(64, "F32")[2], tmp_path)
    assert not list(tmp_path.iterdir())


def test_code_beside_a_model_never_runs_and_an_unknown_tokenizer_is_a_finding(tmp_path):
    """The converter loads the tokenizer of this architecture with trust_remote_code=True."""
    source, trace, out = tiny_model.make(tmp_path / "source"), tmp_path / "trace", tmp_path / "out"
    (source / "evil.py").write_text(f"open({str(trace)!r}, 'w').close()\n")
    mark = {"auto_map": {"AutoTokenizer": ["evil.Evil", "evil.Evil"], "AutoConfig": "evil.Evil"}}
    for name, more in (
        ("config.json", {"architectures": ["LLaDAModelLM"]}),
        ("tokenizer_config.json", {}),
    ):
        settings = json.loads((source / name).read_text())
        (source / name).write_text(json.dumps({**settings, **more, **mark}))
    out.mkdir()
    with pytest.raises(Unsupported, match="converter: BPE pre-tokenizer was not recognized"):
        quantize(source, out)
    assert not trace.exists()
    staged = gguf._stage(source, tmp_path / "staged")
    assert {path.suffix for path in staged.iterdir()} == {".json", ".safetensors"}
    assert not [path for path in staged.glob("*config.json") if "auto_map" in path.read_text()]


@pytest.mark.parametrize("told", [False, True])
def test_cut_heads_need_metadata_that_says_how_large_one_is(tmp_path, told):
    """Two heads of 16 on a hidden size of 64: readers take 32 where the file does not say 16."""
    writer = reader.GGUFWriter(tmp_path / "model.gguf", "qwen2")
    if told:
        writer.add_key_length(16)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    config = {"head_dim": 16, "num_attention_heads": 2, "hidden_size": 64}
    (tmp_path / "config.json").write_text(json.dumps(config))
    file = reader.GGUFReader(tmp_path / "model.gguf")
    if told:
        gguf._check_heads(file, tmp_path)
    else:
        with pytest.raises(
            Unsupported, match="architecture qwen2 cannot say that heads were cut out"
        ):
            gguf._check_heads(file, tmp_path)
