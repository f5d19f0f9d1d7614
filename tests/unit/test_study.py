"""Every mistake in a study gives one line with the file, the key, what was expected and the nearest
valid name.
"""

import json
import shutil
from types import SimpleNamespace

import pytest

from conftest import ROOT
from joulegrid.errors import InputError
from joulegrid.models.context import KEYS, context_of
from joulegrid.study import conclusions, study
from joulegrid.study.validation import nearest
from joulegrid.study.yaml import read_yaml

BAD = [
    (lambda s: s["pruning"]["half"].update(ratio=-0.1), ["pruning.half.ratio: got -0.1", "[0, 1)"]),
    (
        lambda s: s["pruning"].update(w={"method": "wanda", "ratio": 0.5}),
        ["pruning.w: the key 'calibration' is missing"],
    ),
    (
        lambda s: s["pruning"].update(
            w={"method": "wanda", "ratio": 0.5, "calibration": {"text": "no.txt"}}
        ),
        ["pruning.w.calibration.text: no such file 'no.txt'"],
    ),
    (
        lambda s: s["pruning"].update(
            g={"method": "magnitude", "pattern": "2:4", "scope": "global"}
        ),
        ["pruning.g.scope: got global"],
    ),
    (
        lambda s: s["pruning"].update(l={"method": "layers", "ratio": 0.2}),
        ["pruning.l", "ratio with calibration, or"],
    ),
    (
        lambda s: s["pruning"].update(l={"method": "layers", "drop": [-1]}),
        ["pruning.l.drop.0", "got -1"],
    ),
    (
        lambda s: s["pruning"].update(
            l={"method": "layers", "drop": [1], "ratio": 0.2, "calibration": {"text": "LICENSE"}}
        ),
        ["pruning.l", "ratio with calibration, or drop alone"],
    ),
    (
        lambda s: s["quantization"]["gptq4"].update(group_size=48),
        ["gptq4.group_size: got 48", "-1, 16, 32, 64"],
    ),
    (
        lambda s: s["pruning"].update(b={"method": "blocks"}),
        ["pruning.b", "at least one of channels, heads"],
    ),
    (
        lambda s: s["pruning"].update(
            b={"method": "blocks", "channels": 0.2, "importance": "activation"}
        ),
        ["pruning.b: the key 'calibration' is missing"],
    ),
    (
        lambda s: s["pruning"]["half"].update(recovery={"method": "lora", "text": "LICENSE"}),
        ["pruning.half.recovery: the key 'steps' is missing"],
    ),
    (
        lambda s: s["quantization"]["gptq4"].update(bits=5, compute_dtype="float32"),
        ["quantization.gptq4.compute_dtype: got float32; 5 bits run in bfloat16"],
    ),
    (
        lambda s: s["quantization"]["gptq4"].update(kernel="marlin"),
        ["gptq4.kernel", "did you mean 'gptq_marlin'?"],
    ),
    (
        lambda s: s["quantization"].update(g={"method": "gguf", "type": "Q4_K"}),
        ["quantization.g.type", "Q4_K_M"],
    ),
    (
        lambda s: s["quantization"].update(
            p={"method": "prequantized", "models": {"tinny": {"path": "LICENSE"}}}
        ),
        ["quantization.p.models: no model 'tinny'", "did you mean 'tiny'?"],
    ),
    (
        lambda s: s["quantization"].update(
            p={"method": "prequantized", "models": {"tiny": {"path": "tests/data/model"}}}
        ),
        ["quantization.p: ready-made weights cannot be combined with pruning: half; exclude it"],
    ),
    (
        lambda s: s["engine"]["transformers"].update(sparse_kernels="yes"),
        ["engine.transformers.sparse_kernels"],
    ),
    (
        lambda s: s["ranking"].update(weight=float("nan")),
        ["ranking.weight: got nan; expected a finite number"],
    ),
    (lambda s: s["hardware"]["there"].update(pue=float("inf")), ["hardware.there.pue: got inf"]),
    (lambda s: s.update(pruning=None), ["pruning: got None; expected a mapping"]),
    (lambda s: s.update(pruning=["half"]), ["pruning: got ['half']; expected a mapping"]),
    (
        lambda s: s["quantization"].update({8: {"method": "bitsandbytes-4bit"}}),
        ["quantization", "the key 8", "put it in quotes"],
    ),
    (
        lambda s: s["workload"]["questions"].update(count=999),
        ["workload.questions.count: got 999", "has 16 prompts"],
    ),
    (
        lambda s: s["workload"]["questions"].update(prompts="config/prompts"),
        ["questions.prompts: no such file"],
    ),
    (
        lambda s: s["quality"]["facts"].update(task="fact"),
        ["quality.facts.task: no task 'fact'", "did you mean 'facts'?"],
    ),
    (
        lambda s: s["quality"]["facts"].update(folder="LICENSE"),
        ["quality.facts.folder: no such folder 'LICENSE'"],
    ),
    (lambda s: s["pruning"].update({"x" * 65: {"method": "none"}}), ["pruning", "at most 64"]),
    (lambda s: s["pruning"].update({"x\n": {"method": "none"}}), ["pruning", "'x\\n'"]),
    # absurd numbers
    (
        lambda s: s["hardware"].update(g={"device": "cuda", "gpu": "A30", "gpus": 10**9}),
        ["hardware.g.gpus: got 1000000000", "1 to 1024"],
    ),
    (
        lambda s: s["carbon"]["zones"]["BE"].update(intensity_g_per_kwh=1e9),
        ["carbon.zones.BE.intensity_g_per_kwh: got 1000000000.0", "0 to 5000"],
    ),
    (lambda s: s.update(carbon={}), ["carbon: the key 'zones' is missing"]),
    (lambda s: s.update(carbon={"zones": {}}), ["carbon.zones", "at least one zone"]),
    (
        lambda s: s["carbon"]["zones"]["DEU"].update(market_g_per_kwh=0),
        ["carbon.zones.DEU: 'market_source' is missing"],
    ),
    (
        lambda s: s["carbon"].update(embodied={"her": {"preset": "bloom"}}),
        ["carbon.embodied.her: no hardware 'her'", "did you mean 'here'"],
    ),
    (
        lambda s: s["carbon"].update(embodied={"here": {"preset": "blom"}}),
        ["carbon.embodied.here.preset: got 'blom'", "did you mean 'bloom'?"],
    ),
    (
        lambda s: s["carbon"].update(embodied={"here": {"server_kg": 900}}),
        ["carbon.embodied.here", "server_kg, years, utilisation and source"],
    ),
    (
        lambda s: s["carbon"].update(water={"here": {"litres_per_kwh": 2}}),
        ["carbon.water.here: the key 'source' is missing"],
    ),
    # files that are something else
    (
        lambda s: s["workload"]["questions"].update(prompts="docs/report.png"),
        ["workload.questions.prompts: docs/report.png: expected a .jsonl file"],
    ),
    (
        lambda s: s["workload"]["questions"].update(prompts="config/config.yaml"),
        ["workload.questions.prompts: config/config.yaml: expected a .jsonl file"],
    ),
    (
        lambda s: s["quality"]["text"].update(text="docs/report.png"),
        ["quality.text.text: docs/report.png: not a text"],
    ),
    (
        lambda s: s["model"].update(m={"path": "config/schemas"}),
        ["model.m.path: config/schemas: no config.json there"],
    ),
    # more than a model or a text can give
    (
        lambda s: s["quality"]["text"].update(window=4096),
        ["quality.text.window: got 4096; the context of the model tiny is 2048 tokens"],
    ),
    (
        lambda s: s["workload"]["questions"].update(new_tokens=4096),
        ["workload.questions.new_tokens: got 4096; the context of the model tiny is 2048 tokens"],
    ),
    (
        lambda s: s["quantization"]["gptq4"]["calibration"].update(tokens=4096),
        ["quantization.gptq4.calibration.tokens: got 4096; the context"],
    ),
    (
        lambda s: s["quantization"]["gptq4"]["calibration"].update(samples=60_200),
        [
            "quantization.gptq4.calibration: config/texts/calibration.txt cannot give 60200 "
            "different pieces of 512"
        ],
    ),
    (
        lambda s: s["quality"]["text"].update(tokens=100_000_000),
        ["quality.text.tokens: got 100000000; config/texts/evaluation.txt has ", " bytes"],
    ),
    (
        lambda s: s["quantization"]["gptq4"]["calibration"].update(tokens=200_000),
        ["quantization.gptq4.calibration: config/texts/calibration.txt cannot give"],
    ),
    (
        lambda s: s["pruning"]["half"].update(
            recovery={"method": "lora", "text": "LICENSE", "steps": 1, "tokens": 2000}
        ),
        ["pruning.half.recovery: LICENSE cannot give 4 different pieces of 2000 tokens"],
    ),
    # edit, what the message must hold
    (
        lambda s: s.update(quantisation={}),
        ["quantisation: unknown key", "did you mean 'quantization'?"],
    ),
    (lambda s: s.pop("ranking"), ["the key 'ranking' is missing"]),
    (
        lambda s: s["quantization"].update(x={"method": "gptk"}),
        ["quantization.x.method", "did you mean 'gptq'?"],
    ),
    (
        lambda s: s["quantization"]["gptq4"].update(bits=9),
        ["quantization.gptq4.bits", "got 9", "2, 3, 4, 5"],
    ),
    (lambda s: s["quantization"]["nf4"].update(bits=4), ["quantization.nf4.bits: unknown key"]),
    (
        lambda s: s["pruning"].update({"Half Off": {"method": "none"}}),
        ["pruning", "'Half Off'", "a-z, 0-9"],
    ),
    (
        lambda s: s["pruning"].update({"..": {"method": "none"}}),
        ["pruning", "'..'", "starting with a letter or digit"],
    ),
    (lambda s: s["pruning"]["half"].update(ratio=1.0), ["pruning.half.ratio", "got 1.0", "[0, 1)"]),
    (
        lambda s: s["pruning"]["half"].update(pattern="2:4"),
        ["pruning.half", "exactly one of ratio, pattern"],
    ),
    (
        lambda s: s["pruning"].update(p={"method": "magnitude", "pattern": 124}),
        ["pruning.p.pattern", "in quotes"],
    ),
    (
        lambda s: s["pruning"].update(p={"method": "magnitude", "pattern": "4:4"}),
        ["pruning.p.pattern", "0 < N < M"],
    ),
    (
        lambda s: s["ranking"].update(energy="gpu"),
        ["ranking.energy: got 'gpu'", "no hardware of the study has one"],
    ),
    (
        lambda s: s["hardware"]["there"].update(pue=0.9),
        ["hardware.there.pue", "got 0.9", "1 to 10"],
    ),
    (lambda s: s["hardware"].update(gpu={"device": "cuda"}), ["hardware.gpu", "'gpu' is missing"]),
    (lambda s: s["hardware"]["here"].update(gpus=2), ["hardware.here.gpus: unknown key"]),
    (lambda s: s.update(protocol={"sessions": 0}), ["protocol.sessions", "got 0", "1 to 1000"]),
    (
        lambda s: s.update(protocol={"session": 3}),
        ["protocol.session: unknown key", "did you mean 'sessions'?"],
    ),
    (lambda s: s["ranking"].update(weight=1.2), ["ranking.weight", "from 0 to 1"]),
    (
        lambda s: s["ranking"].update(baseline={"quantization": "fp23"}),
        ["ranking.baseline", "did you mean 'fp32'?"],
    ),
    (lambda s: s["ranking"].update(metrics=["tekst"]), ["ranking.metrics", "no metric 'tekst'"]),
    (
        lambda s: s["ranking"].update(metrics=["facts.ac"]),
        ["ranking.metrics", "did you mean 'facts.acc'?"],
    ),
    (
        lambda s: s.update(grid={"exclude": [{"pruning": "haff"}]}),
        ["grid.exclude.0.pruning", "did you mean 'half'?"],
    ),
    (
        lambda s: s.update(grid={"exclude": [{"prunning": "half"}]}),
        ["grid.exclude.0.prunning", "did you mean 'pruning'?"],
    ),
    (
        lambda s: s.update(
            grid={"include": [{"engine": "transformers"}], "exclude": [{"model": "tiny"}]}
        ),
        ["no cell"],
    ),
    (
        lambda s: s.update(grid={"exclude": [{"quantization": "fp32"}]}),
        ["ranking.baseline", "excluded from the grid"],
    ),
    (
        lambda s: s["workload"]["questions"].update(prompts="config/prompts/question.jsonl"),
        ["did you mean", "questions.jsonl"],
    ),
    (
        lambda s: s["workload"]["questions"].update(new_tokens=0),
        ["workload.questions.new_tokens", "1 or more"],
    ),
    (
        lambda s: s["quality"]["text"].update(stride=2000),
        ["quality.text.stride", "tokens would be skipped"],
    ),
    (
        lambda s: s["model"].update(m={"hub": "a/b", "path": "x"}),
        ["model.m", "exactly one of hub, path, wheel"],
    ),
    (
        lambda s: s["model"].update(m={"hub": "a/b", "revision": "main"}),
        ["model.m.revision", "40 hex digits"],
    ),
    (
        lambda s: s["model"].update(m={"wheel": "w==1", "file": "../x.gguf", "sha256": "0" * 64}),
        ["model.m.file"],
    ),
    (
        lambda s: s["carbon"]["zones"].update({False: {}}),
        ["carbon.zones", "False", "put it in quotes"],
    ),
    (
        lambda s: s["carbon"]["zones"].update(X={"intensity_g_per_kwh": 3}),
        ["carbon.zones.X", "source"],
    ),
]


@pytest.mark.parametrize(("edit", "parts"), BAD, ids=range(len(BAD)))
def test_a_mistake_is_named(study_data, study_file, edit, parts):
    edit(study_data)
    path = study_file(study_data)
    with pytest.raises(InputError) as caught:
        study.load([path])
    message = str(caught.value)
    assert str(path) in message
    for part in parts:
        assert part in message, message
    assert "Traceback" not in message


def test_a_duplicate_label_is_named_with_its_line(tmp_path):
    path = tmp_path / "study.yaml"
    path.write_text(
        "study: x\nquantization:\n  fp32: {method: cast}\n  fp32: {method: bitsandbytes-4bit}\n"
    )
    with pytest.raises(
        InputError, match=r"study.yaml:4: the key 'fp32' stands twice here \(first in line 3\)"
    ):
        study.load([path])


def test_an_unknown_country_is_named(study_data, study_file):
    study_data["carbon"]["zones"] = {"GER": {}}
    found = study.load([study_file(study_data)])
    with pytest.raises(InputError, match=r"carbon.zones.GER: no zone of CodeCarbon's tables"):
        conclusions.conclusions(found, [])


def test_a_merged_mapping_may_be_overridden(tmp_path):
    path = tmp_path / "x.yaml"
    path.write_text("a: &a {x: 1, y: 2}\nb: {<<: *a, y: 3}\n")
    assert read_yaml(path)["b"] == {"x": 1, "y": 3}


def test_numbers_given_on_the_command_line_are_numbers(study_data, study_file):
    path = study_file(study_data)
    over = {"ranking": {"weight": "0.3"}, "protocol": {"sessions": "5"}, "description": "1x"}
    data = study.load([path], over).data
    assert (data["ranking"]["weight"], data["protocol"]["sessions"], data["description"]) == (
        0.3,
        5,
        "1x",
    )
    with pytest.raises(InputError, match=r"study.yaml, --config: ranking.weight: got 3"):
        study.load([path], {"ranking": {"weight": "3"}})


def test_several_mistakes_come_in_one_message(study_data, study_file):
    study_data["protocol"] = {"sessions": 0}
    study_data["ranking"]["weight"] = 2
    with pytest.raises(InputError) as caught:
        study.load([study_file(study_data)])
    assert len(str(caught.value).splitlines()) == 2


def test_defaults_are_filled_in_where_the_method_has_them(study_data, study_file):
    data = study.load([study_file(study_data)]).data
    assert data["training"] == {"none": {"method": "none"}}
    assert data["quantization"]["gptq4"]["group_size"] == 128
    assert "group_size" not in data["quantization"]["fp32"]
    assert data["quantization"]["gptq4"]["calibration"]["samples"] == 128
    assert data["protocol"]["min_seconds"] == 10


@pytest.mark.parametrize(
    ("edit", "line"),
    [
        (lambda s: s["model"].update(m=None), "model.m: got None; expected exactly one of hub"),
        (lambda s: s["model"].update(m=5), "model.m: got 5; expected exactly one of hub"),
        (lambda s: s["pruning"].update(x=None), "pruning.x: got None; expected a mapping (key"),
        (lambda s: s["quality"].update(x=None), "quality.x: got None; expected a mapping (key"),
        (lambda s: s.update(quality={}), "quality: it is empty; expected at least one key"),
        (lambda s: s.update(model={}), "model: it is empty; expected at least one key"),
        (lambda s: s.update(grid={"include": [{}]}), "grid.include.0: it is empty; expected"),
        (
            lambda s: s["carbon"].update(zones={}),
            "carbon.zones: it is empty; expected at least one zone, such as DEU: {}",
        ),
    ],
    ids=range(8),
)
def test_one_mistake_gives_one_line(study_data, study_file, edit, line):
    edit(study_data)
    with pytest.raises(InputError) as caught:
        study.load([study_file(study_data)])
    assert len(str(caught.value).splitlines()) == 1
    assert line in str(caught.value)


@pytest.mark.parametrize("content", ["", "- a", "text"])
def test_a_file_that_is_no_study_is_named(tmp_path, content):
    (tmp_path / "study.yaml").write_text(content)
    with pytest.raises(InputError, match=r"study\.yaml: expected a study, a mapping of keys"):
        study.load([tmp_path / "study.yaml"])


@pytest.mark.parametrize("content", [b"\x89PNG\r\n\x1a\n\x00", b"\xff\xfe", b"a: 1\n", b"\n\n"])
def test_a_prompts_file_of_something_else_is_named(study_data, study_file, tmp_path, content):
    path = tmp_path / "p.jsonl"
    path.write_bytes(content)
    study_data["workload"]["questions"]["prompts"] = str(path)
    with pytest.raises(InputError, match=r"workload\.questions\.prompts: .*p\.jsonl"):
        study.load([study_file(study_data)])


def test_a_file_elsewhere_that_is_not_there_is_named_alone(study_data, study_file):
    study_data["workload"]["questions"]["prompts"] = "/nowhere/mine.jsonl"
    with pytest.raises(InputError, match=r"prompts: no such file '/nowhere/mine\.jsonl'$"):
        study.load([study_file(study_data)])


def test_files_outside_the_repository_are_allowed_and_marked(study_data, study_file, tmp_path):
    (tmp_path / "text.txt").write_text("some words of a text " * 200)
    study_data["quality"]["text"]["text"] = str(tmp_path / "text.txt")
    found = study.load([study_file(study_data)])
    assert found.entry("quality", "text")["text"]["outside"] is True
    assert "outside" not in found.entry("workload", "questions")["prompts"]


@pytest.fixture
def with_config(study_data, tmp_path):
    """A function that gives the study a model with this config.json."""

    def give(config: str) -> dict:
        folder = tmp_path / "configured"
        shutil.copytree(ROOT / "tests/data/model", folder, dirs_exist_ok=True)
        (folder / "config.json").write_text(config)
        study_data["model"] = {"mine": {"path": str(folder)}}
        return study_data

    return give


@pytest.mark.parametrize(
    "config",
    [
        # Gemma 3 and Mistral 3 keep it in the configuration of their text part
        {"text_config": {"max_position_embeddings": 77}},
        {"text_config": {"hidden_size": 8}, "max_position_embeddings": 77},
        {"text_config": None, "max_position_embeddings": 77},
        *({key: 77} for key in KEYS),
        {"max_position_embeddings": -1, "n_ctx": 77},
    ],
    ids=json.dumps,
)
def test_a_context_is_seen_whatever_it_is_called(with_config, study_file, config):
    data = with_config(json.dumps(config))
    with pytest.raises(
        InputError, match=r"quality.text.window: got 1024; the context of the model mine is 77"
    ):
        study.load([study_file(data)])


@pytest.mark.parametrize("config", ['{"text_config": "x"}', "[]", '{"n_ctx": "many"}', "{", "7"])
def test_a_configuration_that_says_no_context_is_no_mistake_of_the_study(
    with_config, study_file, config
):
    assert study.load([study_file(with_config(config))]).data["model"]["mine"]


def test_a_configuration_of_transformers_is_read_as_the_file_is():
    """By attributes; GPT-2's own name for it is n_positions."""
    nested = SimpleNamespace(max_position_embeddings=77)
    assert context_of(SimpleNamespace(get_text_config=lambda: nested)) == 77
    assert context_of(SimpleNamespace(n_positions=77)) == 77
    assert context_of(SimpleNamespace()) is None


def test_cells_that_no_engine_runs_are_known_before_anything_is_sent(study_data, study_file):
    study_data["quantization"]["q4"] = {"method": "gguf", "type": "Q4_K_M"}
    study_data["engine"]["llamacpp"] = {"method": "llamacpp"}
    found = study.load([study_file(study_data)])
    reasons = {(c.quantization, c.engine): found.unsupported(c) for c in found.cells}
    assert reasons["fp32", "llamacpp"] == "the engine llamacpp does not load cast; it loads gguf"
    assert reasons["q4", "llamacpp"] is None
    assert reasons["q4", "transformers"] is None


def test_a_task_of_lm_eval_without_examples_of_the_study_keeps_its_own(study_data):
    by_name = {"method": "lm-eval", "task": "gsm8k", "metrics": ["exact_match,strict-match"]}
    study_data["quality"] = {"own": by_name, "none": {**by_name, "fewshot": 0}}
    study_data["ranking"] = {"baseline": {"quantization": "fp32"}}
    found = study.from_data(study_data, "study.yaml").data["quality"]
    assert [entry.get("fewshot") for entry in found.values()] == [None, 0]


def test_a_benchmark_stands_for_its_tasks(study_data):
    study_data["benchmarks"] = {"paper": {"group": "dosquet2025", "limit": 50}}
    study_data["ranking"] = {"baseline": {"quantization": "fp32"}, "metrics": ["paper-mmlu"]}
    found = study.from_data(study_data, "study.yaml")
    tasks = {
        label: entry["task"] for label, entry in found.data["quality"].items() if "task" in entry
    }
    assert tasks == {
        "facts": "facts",
        "paper-wikitext": "wikitext",
        "paper-mmlu": "mmlu",
        "paper-ifeval": "ifeval",
    }
    assert found.data["ranking"]["metrics"] == ["paper-mmlu.acc"]
    # it is what writing the task by hand is
    by_hand = {"method": "lm-eval", "task": "mmlu", "metrics": ["acc"], "limit": 50, "fewshot": 0}
    study_data["quality"] = {"m": by_hand}
    written = study.from_data(
        {**study_data, "benchmarks": {}, "ranking": {"baseline": {"quantization": "fp32"}}}, "s"
    )
    assert written.entry("quality", "m") == found.entry("quality", "paper-mmlu")


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"group": "dosquet"}, "benchmarks.paper.group: no group 'dosquet'; .*'dosquet2025'"),
        (
            {"group": "dosquet2025", "sha256": {"mmul": "0"}},
            "benchmarks.paper.sha256.mmul: the group has no such task; .*'mmlu'",
        ),
        ({"group": "dosquet2025", "sha256": "0"}, "expected a mapping, TASK: DIGEST"),
        ({"group": "dosquet2025", "limits": 1}, "benchmarks.paper.limits: unknown key"),
        ({"group": "dosquet2025", "limit": "x"}, "quality.paper-mmlu.limit: got 'x'"),
        ({"group": "dosquet2025", "folder": "config/tsks"}, "paper-mmlu.folder: no such folder"),
        ("dosquet2025", "benchmarks.paper: expected a mapping with the key group"),
    ],
)
def test_a_benchmark_that_is_none_is_refused(study_data, entry, message):
    study_data["benchmarks"] = {"paper": entry}
    with pytest.raises(InputError, match=message):
        study.from_data(study_data, "study.yaml")


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("rate", "rate_per_s"),  # spelled more like trace
        ("rate_per_second", "rate_per_s"),
        ("new_token", "new_tokens"),
        ("limitss", "limits"),
        ("tracee_file", "trace"),
        ("zz", None),
    ],
)
def test_a_key_that_begins_alike_is_meant_before_one_that_is_spelled_alike(given, meant):
    text = nearest(given, ["trace", "limits", "new_tokens_per_s", "rate_per_s", "new_tokens"])
    assert text.partition("; ")[2] == (f"did you mean {meant!r}?" if meant else "")
