"""One energy cell, as a job runs it: the record, the checks before it, and the failures that are findings."""

import json
import subprocess
import sys

import pytest

import tiny_model
from conftest import ROOT
from joulegrid import workloads
from joulegrid.models.describe import describe
from joulegrid.records import InputError

SPEC = {
    "quantization": {"method": "cast", "dtype": "float32"},
    "hardware": {"device": "cpu", "threads": 1},
    "engine": {"method": "transformers", "batch_size": 2},
    "workload": {"prompts": "config/prompts/questions.jsonl", "count": 3, "new_tokens": 5, "chat": True},
    "protocol": {"repeats": 2, "warmup": 1, "idle_seconds": 0.2, "tracking": "machine", "seed": 0},
}


def edited(**changes):
    return {**SPEC, **{key: {**SPEC[key], **value} for key, value in changes.items()}}


def test_the_record_of_a_cell(script, tiny_record):
    code, log, record = script("measure_energy", SPEC, checkpoint=tiny_record)
    assert code == 0, log
    assert record["status"] == "ok"
    assert record["spec"] == SPEC
    assert record["device"]["threads"] == 1
    assert record["kernels"] == {"Linear": 15}
    assert {c: record["components"][c]["basis"] for c in ("gpu", "ram")} == {"gpu": "absent", "ram": "estimated"}
    assert record["peak_memory_bytes"]["ram"] > record["weights_bytes"] > 0
    assert len(record["repeats"]) == 2
    for run in record["repeats"]:
        assert run["tokens_written"] == 3 * 5
        assert run["energy_j"]["gpu"] == 0
        joules = sum(run["energy_j"].values())
        assert run["j_per_token"] == pytest.approx(joules / 15)
        assert run["tokens_per_s"] == pytest.approx(15 / run["seconds"])
        # the constant wattage of the RAM model, over the wall time of the run
        watts = float(record["components"]["ram"]["method"].split()[1])
        assert run["energy_j"]["ram"] == pytest.approx(watts * run["seconds"], rel=0.1, abs=0.5)
    assert record["repeats"][0]["tokens_read"] == record["repeats"][1]["tokens_read"]


def test_wattages_that_the_study_knows_are_used_and_said(script, tiny_record):
    spec = edited(hardware={"ram_power_w": 40, "cpu_power_w": 100})
    code, log, record = script("measure_energy", spec, checkpoint=tiny_record)
    assert code == 0, log
    assert record["components"]["ram"]["method"] == "constant 40 W, given by the study"
    assert record["idle_power_w"]["ram"] == pytest.approx(40, rel=0.05)


@pytest.mark.parametrize(
    ("hardware", "message"),
    [
        ({"device": "cpu", "cpu": "Cortex-A72"}, "wrong CPU: the hardware entry asks for 'Cortex-A72', this job got"),
        ({"device": "cpu", "threads": 4096}, "too few CPUs: the hardware entry asks for 4096 threads, this job got"),
        ({"device": "cuda", "gpu": "no such", "gpus": 3}, "wrong GPU: the hardware entry asks for 3× 'no such'"),
    ],
)
def test_a_wrong_device_is_an_error_before_anything_is_measured(script, tiny_record, hardware, message):
    code, log, record = script("measure_energy", {**SPEC, "hardware": hardware}, checkpoint=tiny_record)
    assert code == 1
    assert message in log
    assert "Traceback" not in log
    assert record is None


# measure_energy.py with 700 MB of address space beyond what its imports take
LIMITED = """
import resource, runpy, sys
import accelerate, codecarbon, torch, transformers
import transformers.models.llama.modeling_llama
size = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (size + 700_000_000,) * 2)
sys.argv = sys.argv[1:]
sys.path.insert(0, "scripts")
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def test_out_of_memory_is_a_finding(tiny, tmp_path):
    """A real one: the address space of the process is limited, and the 1.2 GB of weights do not fit."""
    big = tiny_model.make_hollow(tmp_path / "big", 4096, tiny)
    checkpoint, output = tmp_path / "big.json", tmp_path / "record.json"
    checkpoint.write_text(json.dumps({"schema_version": 1, "status": "ok", "weights": str(big), **describe(big)}))
    options = ["--spec", json.dumps(SPEC), "--checkpoint", str(checkpoint), "--output", str(output)]
    command = [sys.executable, "-c", LIMITED, "scripts/measure_energy.py", *options]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    record = json.loads(output.read_text())
    assert record["status"] == "oom"
    assert record["reason"]
    assert "repeats" not in record


@pytest.mark.parametrize("name", ["measure_energy", "evaluate_quality", "refer_checkpoint", "quantize_weights"])
def test_what_is_made_of_weights_that_did_not_fit_shares_their_finding(script, tmp_path, name):
    made = tmp_path / "made.json"
    made.write_text(json.dumps({"schema_version": 1, "status": "oom", "reason": "too big to prune"}))
    paths = {"checkpoint": made} if name.endswith(("energy", "quality")) else {"made_from": made}
    if name == "quantize_weights":
        paths["weights"] = tmp_path / "weights"
    code, log, record = script(name, {**SPEC, "seed": 0}, **paths)
    assert code == 0, log
    assert (record["status"], record["reason"]) == ("oom", "too big to prune")


def test_a_prompt_beyond_the_context_is_a_finding(script, tiny_record):
    code, log, record = script("measure_energy", edited(workload={"new_tokens": 600}), checkpoint=tiny_record)
    assert code == 0, log
    assert record["status"] == "unsupported"
    assert "the model's context is 512" in record["reason"]


def test_weights_that_are_gone_are_an_error_that_says_what_to_do(script, tiny_record):
    record = json.loads(tiny_record.read_text())
    tiny_record.write_text(json.dumps({**record, "weights": "gone"}))
    code, log, result = script("measure_energy", SPEC, checkpoint=tiny_record)
    assert (code, result) == (1, None)
    assert f"delete {tiny_record} and run snakemake again" in log


@pytest.mark.parametrize("line", ['{"promt": "x"}', "hello", '{"prompt": 3}'])
def test_a_bad_prompt_line_is_named(tmp_path, line):
    path = tmp_path / "p.jsonl"
    path.write_text('{"prompt": "good"}\n' + line + "\n")
    with pytest.raises(InputError, match=r"p\.jsonl:2: "):
        workloads.prompts({"prompts": str(path)}, 0)


def test_prompts_are_drawn_with_the_seed():
    entry = {"prompts": "config/prompts/questions.jsonl", "count": 4}
    draws = [workloads.prompts(entry, seed) for seed in (0, 0, 1)]
    assert draws[0] == draws[1] != draws[2]
