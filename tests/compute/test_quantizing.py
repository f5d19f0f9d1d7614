"""Every quantization loads, generates and is what it says."""

import json
import shutil

import pytest

from joulegrid.engines import transformers as engine
from joulegrid.models.describe import describe

TEXT = {"text": "config/texts/calibration.txt", "samples": 4, "tokens": 64}
GPTQ = {
    "method": "gptq",
    "bits": 4,
    "group_size": 32,
    "act_order": False,
    "calibration": TEXT,
    "compute_dtype": "float32",
    "kernel": "gptq_torch",
}
LOAD_TIME = [
    ({"method": "cast", "dtype": "float32"}, "Linear", 1.0),
    ({"method": "cast", "dtype": "bfloat16"}, "Linear", 0.5),
    ({"method": "llm-int8", "compute_dtype": "float32"}, "Linear8bitLt", 0.52),
    ({"method": "nf4", "compute_dtype": "float32", "double_quantization": False}, "Linear4bit", 0.43),
]


@pytest.mark.parametrize(
    ("entry", "kernel", "share"), LOAD_TIME, ids=[str(e[0].get("dtype", e[0]["method"])) for e in LOAD_TIME]
)
def test_methods_that_quantize_while_loading(tiny, entry, kernel, share):
    loaded = engine.load({"weights": str(tiny)}, entry, {"device": "cpu"}, {"batch_size": 2})
    tokens = loaded.generate(loaded.prepare(["one two", "three"], False, 4), 4)
    assert tokens.written == 8
    facts = loaded.describe()
    assert facts["kernels"][kernel] >= 14
    # linear layers shrink with the bits; embedding, head and norms do not
    full = describe(tiny)["parameters"] * 4
    assert facts["weights_bytes"] / full == pytest.approx(share, abs=0.12)


def test_the_checkpoints_own_generation_settings_do_not_decide(tiny, tmp_path):
    def tokens(folder):
        loaded = engine.load({"weights": str(folder)}, LOAD_TIME[0][0], {"device": "cpu"}, {"batch_size": 2})
        seen = []
        original = loaded.model.generate
        loaded.model.generate = lambda **kwargs: seen.append(original(**kwargs)) or seen[-1]
        assert loaded.generate(loaded.prepare(["one two", "three"], False, 12), 12).written == 24
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


@pytest.mark.slow
def test_gptq_is_made_recorded_and_loaded(script, tiny_record, tmp_path):
    spec = {"quantization": GPTQ, "seed": 0}
    code, log, record = script("quantize_weights", spec, made_from=tiny_record, weights=tmp_path / "gptq")
    assert code == 0, log
    assert record["stored"] == "copy"
    assert 0 < record["sparsity"]["mean"] < 0.5
    assert record["notes"] == {"calibration_samples": 4, "calibration_tokens": 64}
    assert record["cost"]["seconds"] > 0
    loaded = engine.load(record, GPTQ, {"device": "cpu"}, {"batch_size": 1})
    assert loaded.describe()["kernels"]["TorchLinear"] == 14
    assert loaded.generate(loaded.prepare(["one two"], False, 3), 3).written == 3


def test_too_short_a_calibration_text_is_named(tiny, tmp_path):
    from transformers import AutoTokenizer

    from joulegrid.calibration import calibration_texts
    from joulegrid.records import InputError

    path = tmp_path / "short.txt"
    path.write_text("too short")
    with pytest.raises(InputError, match=r"short.txt: the calibration text has \d+ tokens, one sample asks for 64"):
        calibration_texts({**TEXT, "text": str(path)}, AutoTokenizer.from_pretrained(tiny), 0)


def test_lm_eval_runs_a_local_task(tiny):
    from joulegrid.quality import lm_eval
    from joulegrid.records import InputError

    loaded = engine.load({"weights": str(tiny)}, LOAD_TIME[0][0], {"device": "cpu"}, {"batch_size": 2})
    task = {
        "task": "facts",
        "folder": "config/tasks/facts",
        "fewshot": 0,
        "batch_size": 8,
        "metrics": ["acc", "acc_norm"],
    }
    found = lm_eval.evaluate(loaded.model, loaded.tokenizer, task, 0)
    assert set(found) == {"acc", "acc_norm"}
    assert 0 <= found["acc"]["value"] <= 1
    assert found["acc"]["higher_is_better"] is True
    with pytest.raises(InputError, match="no metric 'f1'; it has acc, acc_norm"):
        lm_eval.evaluate(loaded.model, loaded.tokenizer, {**task, "metrics": ["f1"], "limit": 2}, 0)
    with pytest.raises(InputError, match="no task 'fact'"):
        lm_eval.evaluate(loaded.model, loaded.tokenizer, {**task, "task": "fact"}, 0)
