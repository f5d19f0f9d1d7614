"""Run time and memory that jobs ask for where the site file leaves them out."""

import json

import pytest
import yaml

from conftest import ROOT
from joulegrid.planning import effort, scheduling
from joulegrid.planning.places import place_of
from joulegrid.planning.sizes import architecture_of
from joulegrid.study import sites, study

OTHERWISE = {"runtime": 60, "mem_mb": 16000}
REVISION = "0" * 40


@pytest.fixture
def data(study_data):
    """A model of 8 billion parameters and one of 34 on an A100, and a CPU."""
    study_data["model"] = {"eight": {"random": "llama-3-8b"}, "large": {"random": "codellama-34b"}}
    study_data["quantization"]["bf16"] = {"method": "cast", "dtype": "bfloat16"}
    del study_data["quantization"]["fp32"]
    study_data["hardware"] = {
        "a100": {"device": "cuda", "gpu": "A100-SXM4", "gpu_memory_gb": 80},
        "here": {"device": "cpu"},
        "other": {"device": "cuda", "gpu": "Quadro"},
    }
    study_data["ranking"]["baseline"] = {"quantization": "bf16"}
    return study_data


def asked(data, hardware, otherwise=OTHERWISE):
    return scheduling.measuring(study.from_data(data, "test"), hardware, otherwise)


def test_sessions_ask_for_what_the_largest_cell_may_take(data):
    """Weights of 34 billion parameters in 16 bits are 67 GB: a quarter more, and 8 GB."""
    data["workload"]["questions"]["new_tokens"] = 256
    both = asked(data, "a100")
    assert both["mem_mb"] == pytest.approx(8000 + 1.25 * 2 * 33.74e3, rel=0.02)
    del data["model"]["large"]
    one = asked(data, "a100")
    assert one["mem_mb"] == pytest.approx(8000 + 1.25 * 2 * 8.03e3, rel=0.05)
    assert 30 < one["runtime"] < both["runtime"] < 24 * 60
    data["workload"]["questions"]["new_tokens"] = [256, 512]
    assert asked(data, "a100")["runtime"] > one["runtime"]


def test_cells_that_are_not_sent_ask_for_nothing(data):
    made = study.from_data(data, "test")
    large = [cell for cell in made.cells if cell.model == "large"]
    found = scheduling.measuring(made, "a100", OTHERWISE, large)
    del data["model"]["large"]
    assert found == asked(data, "a100")


def test_what_measured_sessions_took_is_asked_for(data, tmp_path):
    """The plan after a pilot found that runs take three times as long with 16 bits there."""
    data["workload"]["questions"]["new_tokens"] = 256
    del data["model"]["large"]
    file = tmp_path / "calibration.tsv"
    head = "hardware\tengine\tkernel\trows\ttimes_default\n"
    file.write_text(
        f"{head}a100\ttransformers\tdense\t5\t3.0\nother\ttransformers\tdense\t5\t9.0\n"
    )
    made = study.from_data(data, "test")
    learned = scheduling.learned_in(file)
    before = asked(data, "a100")["runtime"]
    after = scheduling.measuring(made, "a100", OTHERWISE, (), learned)["runtime"]
    assert before + 30 < after < 3 * before
    # of a CPU nothing is known before its sessions are there
    assert "runtime" not in asked(data, "here")
    here = {("here", "transformers", kernel): 0.5 for kernel in ("dense", "bitsandbytes-4bit")}
    assert "runtime" in scheduling.measuring(made, "here", OTHERWISE, (), here)
    assert scheduling.learned_in(tmp_path / "nothing.tsv") == {}
    file.write_text("something else")
    assert scheduling.learned_in(file) == {}


def test_models_with_experts_ask_for_more(data):
    """Their kernels are known less well: four times what is predicted instead of twice."""
    data["workload"]["questions"]["new_tokens"] = 512
    data["model"] = {"dense": {"hub": "mistralai/Mistral-7B-v0.3", "revision": REVISION}}
    dense = asked(data, "a100")["runtime"]
    data["model"] = {"experts": {"hub": "Qwen/Qwen3-30B-A3B", "revision": REVISION}}
    assert asked(data, "a100")["runtime"] > dense


def test_longer_windows_ask_for_more_time(data):
    before = asked(data, "a100")["runtime"]
    data["protocol"]["min_seconds"] = 100
    assert asked(data, "a100")["runtime"] >= before + 15


def test_however_long_a_run_is_it_warms_up_twice(data):
    """In one window a run of an hour takes three."""
    data["workload"]["questions"] |= {"new_tokens": 4000, "count": 1}
    data["protocol"] |= {"min_seconds": 1, "idle_seconds": 0}
    asked_for = {}
    for windows in (1, 2):
        data["protocol"]["max_windows"] = windows
        asked_for[windows] = asked(data, "a100")["runtime"]
    a_run = asked_for[2] - asked_for[1]
    assert asked_for[1] >= 30 + 2.5 * a_run


def test_as_many_windows_are_asked_for_as_the_protocol_allows(data):
    """Twenty of at least 60 s, and not twelve."""
    data["protocol"] |= {"min_seconds": 60, "max_windows": 12}
    before = asked(data, "a100")["runtime"]
    data["protocol"]["max_windows"] = 20
    assert asked(data, "a100")["runtime"] >= before + 8


def test_every_point_of_a_sweep_may_warm_up_for_three_minutes(data):
    del data["model"]["large"]
    questions = data["workload"]["questions"]
    data["protocol"] |= {"min_seconds": 1, "max_windows": 2}
    before = asked(data, "a100")["runtime"]
    data["workload"] = {"questions": {**questions, "new_tokens": list(range(2, 32))}}
    assert asked(data, "a100")["runtime"] >= before + 29 * 3


def test_a_window_of_requests_that_come_again_is_of_three_batches(data):
    """At least: one fills, one is full, one ends."""
    del data["model"]["large"]
    data["protocol"] |= {"min_seconds": 1, "max_windows": 20}
    data["engine"] = {"vllm": {"method": "vllm", "max_num_seqs": 16}}
    asks = {"prompts": "config/prompts/questions.jsonl", "new_tokens": 2000}
    data["workload"] = {"w": {**asks, "method": "batch", "count": 16}}
    one = asked(data, "a100")["runtime"]
    data["workload"] = {"w": {**asks, "method": "steady", "concurrency": 16}}
    assert asked(data, "a100")["runtime"] - 33 >= 2.5 * (one - 33)


def test_merging_loads_32_bits(data):
    """8.5 billion parameters (Gemma 7B) are 34 GB then."""
    data["model"] = {"gemma": {"hub": "google/gemma-7b", "revision": REVISION}}
    found = scheduling.making(study.from_data(data, "test"), "merge_training", OTHERWISE)
    assert found["mem_mb"] == pytest.approx(8000 + 1.25 * 4 * 8.54e3, rel=0.02)


def test_what_is_not_known_is_left_to_the_profile(data):
    assert set(asked(data, "here")) == {"mem_mb"}
    assert set(asked(data, "other")) == {"mem_mb"}
    data["model"] = {"eight": {"hub": "someone/something", "revision": REVISION}}
    assert asked(data, "a100") == {}


def test_beside_what_is_not_known_no_less_is_asked_for(data):
    data["model"]["large"] = {"hub": "someone/something", "revision": REVISION}
    assert asked(data, "a100", {"runtime": 1000, "mem_mb": 1000})["runtime"] == 1000
    assert asked(data, "a100", {"runtime": 1, "mem_mb": 1000})["runtime"] > 1


def test_a_replay_asks_for_its_own_length(data):
    """Four hours, and ten minutes to finish what arrived, and half an hour; also on a CPU."""
    data["workload"] = {
        "replay": {
            "method": "replay",
            "prompts": "config/prompts/questions.jsonl",
            "interval_s": 6,
            "duration_s": 14400,
            "new_tokens": 100,
        }
    }
    assert asked(data, "here")["runtime"] == asked(data, "a100")["runtime"] == 280


def site_of(gres):
    return {"default": {"gres": gres}, "stages": {}}


def test_making_asks_for_what_is_predicted_with_a_margin(data):
    """Half an hour, and four times as long; of the largest model and the longest entry."""
    gptq = data["quantization"]["gptq4"]
    data["quantization"]["long"] = {
        **gptq,
        "calibration": {"text": "config/texts/calibration.txt", "samples": 2048, "tokens": 2048},
    }
    tickets = {"file": "config/data/saf/saf.jsonl", "template": "{question}", "answer": "feedback"}
    data["training"] = {
        "none": {"method": "none"},
        "lora": {"method": "lora", "precision": "float32", "epochs": 3, "data": tickets},
    }
    made, site = study.from_data(data, "test"), site_of("gpu:a100:1")
    found = {stage: scheduling.making(made, stage, OTHERWISE, site) for stage in scheduling.MINUTES}
    large = architecture_of(data["model"]["large"])
    sizes = effort.Sizes(large, place_of("weights", site, {}))
    seconds = effort.quantizing(made.data["quantization"]["long"], sizes)
    assert found["quantize_weights"]["runtime"] == pytest.approx(30 + 4 * seconds / 60, abs=5)
    assert found["quantize_weights"]["mem_mb"] == pytest.approx(8000 + 1.25 * 2 * 33.74e3, rel=0.02)
    assert found["train_model"]["runtime"] > 2 * 60
    assert found["score_texts"] == {"runtime": 30, "mem_mb": 8000}
    assert min(each["runtime"] for each in found.values()) == 30
    # three times the epochs take more, on a slower board too; nothing asks for more than a day
    data["training"]["lora"]["epochs"] = 9
    longer = study.from_data(data, "test")
    asked_for = [
        scheduling.making(longer, "train_model", OTHERWISE, site_of(f"gpu:{name}:1"))["runtime"]
        for name in ("a100", "a30")
    ]
    assert found["train_model"]["runtime"] < asked_for[0] <= asked_for[1] <= 1440


def test_where_the_board_of_a_stage_is_not_known_billions_of_parameters_are_counted(data):
    """Half an hour, and 15 minutes for each of 34 billion parameters."""
    made = study.from_data(data, "test")
    found = {
        stage: scheduling.making(made, stage, OTHERWISE, site_of("gpu:1"))["runtime"]
        for stage in scheduling.MINUTES
    }
    assert found["quantize_weights"] == pytest.approx(30 + 15 * 33.74, abs=5)
    assert found["train_model"] == 1440


def test_stages_are_those_of_the_site_file():
    schema = json.loads((ROOT / "config/schemas/site.schema.json").read_text())
    assert set(scheduling.MINUTES) == set(schema["properties"]["stages"]["properties"])


def test_what_the_site_file_says_is_not_left_out(data, tmp_path):
    path = tmp_path / "site.yaml"
    site = {
        "default": {"runtime": "4h"},
        "stages": {"prune_weights": {"mem_mb": 1}},
        "hardware": {"a100": {"mem_mb": 2}, "here": {}, "other": {}},
    }
    path.write_text(json.dumps(site))
    found = sites.load(str(path), study.from_data(data, "test"))
    assert found.left_out("hardware", "a100") == found.left_out("stages", "prune_weights") == set()
    assert found.left_out("hardware", "here") == {"mem_mb"}
    assert found.left_out("stages", "score_texts") == {"mem_mb"}
    assert sites.Site(None).left_out("hardware", "here") == set()


def test_the_shipped_site_file_leaves_run_times_to_predictions():
    """One for all would be too short for some, and would not grow at the next attempt."""
    name = "config/sites/a30-a100.yaml"
    shipped = study.load([ROOT / "config/config.yaml"])
    site = sites.load(name, shipped)
    places = [("stages", stage) for stage in scheduling.MINUTES]
    places += [("hardware", label) for label in sites.data_of(name)["hardware"]]
    assert all("runtime" in site.left_out(*place) for place in places)


def test_what_nobody_knows_of_is_what_the_profile_gives():
    profile = yaml.safe_load((ROOT / "profiles/slurm/config.yaml").read_text())
    said = dict(each.split("=") for each in profile["default-resources"])
    rules = (ROOT / "rules/resources.smk").read_text()
    assert f'OTHERWISE = {{"runtime": {said["runtime"]}, "mem_mb": {said["mem_mb"]}}}' in rules
