"""What a user of the workflow meets besides its results: errors, unfinished studies, the plan."""

import csv
import json
import re
import shutil

import pytest
import xarray as xr

import house


def test_a_mistake_ends_snakemake_with_one_message_and_no_traceback(own):
    place, data = own
    data["quantization"]["gptq4"]["bitz"] = 3
    house.write_study(place, data)
    done = house.snakemake(place, "--dry-run", check=False)
    output = done.stdout + done.stderr
    assert done.returncode == 1
    assert "config/study.yaml: quantization.gptq4.bitz: unknown key" in output
    assert "did you mean 'bits'?" in output
    assert "Traceback" not in output
    assert output.strip().splitlines()[-1].startswith("error: config/study.yaml: ")


def test_a_hardware_that_the_site_does_not_know_is_named(own):
    place, data = own
    data["hardware"]["their"] = data["hardware"].pop("there")
    house.write_study(place, data)
    done = house.snakemake(place, "--dry-run", check=False)
    assert "config/sites/test.yaml: hardware: no resources for 'their'" in done.stdout + done.stderr
    assert "did you mean 'there'?" in done.stdout + done.stderr


def test_the_study_of_config_yaml_plans_as_it_is(tmp_path):
    """Without a site, and with the profile's: the example for a cluster is valid."""
    place = house.copy_project(tmp_path / "house")
    house.put_stand_in(place)
    shutil.copy(place / "config/config.yaml", place / "config/study.yaml")
    for options in ((), ("--config", "site=config/sites/a30-a100.yaml")):
        jobs = house.planned(place, *options)
        assert sum(script == "measure_energy" for script, _ in jobs) == 2 * 2 * (5 + 2 * 3)


@pytest.mark.parametrize("study", sorted(p.name for p in (house.ROOT / "config/studies").glob("*.yaml")))
def test_every_ready_made_study_plans(tmp_path, study):
    place = house.copy_project(tmp_path / "house")
    house.put_stand_in(place)
    shutil.copy(place / "config/studies" / study, place / "config/study.yaml")
    assert {"merge_measurements", "write_report"} <= {script for script, _ in house.planned(place)}


def test_an_unfinished_study_is_merged_and_ranked_and_what_is_missing_is_listed(own):
    place, _ = own
    gone = "energy/tiny/none/none/nf4/here/transformers/questions.json"
    (place / "results/small" / gone).unlink()
    stale = place / "results/small/quality/tiny/none/none/gptq4/text.json"
    record = json.loads(stale.read_text())
    record["spec"]["code"] = "of last year"
    stale.write_text(json.dumps(record))
    house.snakemake(place, "--cores", "2", "partial")
    with open(place / "results/small/partial/missing.csv", newline="") as stream:
        missing = {(row["path"].split("results/small/")[1], row["status"]) for row in csv.DictReader(stream)}
    assert missing == {(gone, "missing"), ("quality/tiny/none/none/gptq4/text.json", "stale")}
    with open(place / "results/small/partial/ranking.csv", newline="") as stream:
        rows = {(r["pruning"], r["quantization"], r["hardware"]): r for r in csv.DictReader(stream)}
    assert rows["none", "nf4", "here"]["note"] == "missing"
    assert rows["none", "gptq4", "here"]["rank"] == ""
    assert rows["none", "nf4", "there"]["rank"] != ""
    assert not (place / "results/small" / gone).exists(), "partial computes nothing"


@pytest.mark.parametrize("damage", ["truncate", "key", "stale"])
def test_a_damaged_record_stops_the_merge_and_is_named(own, damage):
    place, _ = own
    path = place / "results/small/energy/tiny/none/none/nf4/here/transformers/questions.json"
    record = json.loads(path.read_text())
    if damage == "key":
        del record["repeats"]
    elif damage == "stale":
        record["spec"]["code"] = "of last year"
    path.write_text(json.dumps(record)[: 40 if damage == "truncate" else None])
    done = house.snakemake(place, "--cores", "2", "--show-failed-logs", check=False)
    assert done.returncode == 1
    assert "energy/tiny/none/none/nf4/here/transformers/questions.json: " in done.stdout + done.stderr
    assert "run snakemake again" in done.stdout + done.stderr
    assert "Traceback" not in (place / "results/small/logs/merge_measurements.log").read_text()
    path.unlink()
    assert ("measure_energy", "energy/tiny/none/none/nf4/here/transformers/questions.json") in house.planned(place)


def test_findings_are_results(own):
    """A cell that does not fit is done: it is not tried again, and the dataset says so."""
    place, _ = own
    path = place / "results/small/energy/tiny/none/none/nf4/here/transformers/questions.json"
    record = json.loads(path.read_text())
    for key in ("repeats", "idle_power_w", "loading", "peak_memory_bytes", "weights_bytes"):
        del record[key]
    path.write_text(json.dumps(record | {"status": "oom", "reason": "too big"}))
    house.snakemake(place, "--cores", "2")
    with xr.open_datatree(place / "results/small/study.nc") as tree:
        cell = tree["energy"].sel(pruning="none", quantization="nf4", hardware="here")
        status = tree["energy"].status.attrs["flag_meanings"].split()[int(cell.status.item())]
        assert status == "oom"
        assert cell.energy.isnull().all()
        assert tree["energy"].energy.notnull().sum() == 11 * 3 * 3
    assert house.planned(place) == set()


def test_snakemakes_own_report_holds_the_tables_figures_and_report(own):
    place, _ = own
    done = house.snakemake(place, "--report", "all.html", check=False)
    page = place / "all.html"
    assert page.exists(), done.stderr[-3000:]
    text = page.read_text()
    for name in ("ranking.csv", "carbon.csv", "energy_quality.svg", "report.html"):
        assert name in text


def test_a_study_without_zones_and_without_a_single_success_still_has_its_report(own):
    place, data = own
    data["carbon"] = {}
    house.write_study(place, data)
    for path in (place / "results/small/energy").rglob("*.json"):
        record = {
            k: v for k, v in json.loads(path.read_text()).items() if k in ("schema_version", "spec", "components")
        }
        path.write_text(json.dumps(record | {"status": "oom", "reason": "too big"}))
    house.snakemake(place, "--cores", "2")
    with open(place / "results/small/ranking.csv", newline="") as stream:
        assert {row["note"] for row in csv.DictReader(stream)} == {"oom"}
    assert "too big" not in (place / "results/small/carbon.csv").read_text()
    assert (place / "results/small/report.html").exists()


def commands(place):
    """script -> the interpreters that a dry-run starts it with, for the jobs of one quantization."""
    done = house.snakemake(place, "--dry-run", "--printshellcmds")
    job = r"(envs/\w+)/\.venv/bin/python scripts/(\w+)\.py --spec .* --output \S*/q4/"
    return re.findall(job, done.stdout + done.stderr)


def test_llamacpp_jobs_run_in_an_environment_of_their_own(own):
    place, data = own
    data["quantization"]["q4"] = {"method": "gguf", "type": "Q4_K_M"}
    data["engine"]["llamacpp"] = {"method": "llamacpp"}
    data["grid"] = {
        "include": [
            {"engine": "transformers", "quantization": ["fp32", "nf4", "gptq4"]},
            {"engine": "llamacpp", "quantization": "q4", "pruning": "none"},
        ]
    }
    house.write_study(place, data)
    found = set(commands(place))
    assert found == {
        ("envs/llamacpp", "quantize_weights"),
        ("envs/llamacpp", "measure_energy"),
        ("envs/llm", "evaluate_quality"),
    }
    scripts = [job[0] for job in house.planned(place)]
    assert scripts.count("measure_energy") == 2, "what was measured with transformers stays"
    (place / "scripts/build_environment.py").write_text("import sys; print('building', sys.argv[1])")
    done = house.snakemake(place, "--cores", "4")
    assert [line for line in done.stdout.splitlines() if line.startswith("building")] == [
        "building envs/llamacpp",
        "building envs/llm",
    ]


def test_ready_made_weights_are_fetched_for_each_model_and_rerun_for_one(own):
    place, data = own
    data["model"]["second"] = {"path": "config/second-model"}
    theirs = {"method": "prequantized", "models": {m: {"path": "config/schemas"} for m in ("tiny", "second")}}
    data["quantization"]["theirs"] = theirs
    data["grid"] = {"exclude": [{"pruning": "half", "quantization": "theirs"}]}
    house.write_study(place, data)
    jobs = house.planned(place)
    assert {job for job in jobs if job[0] == "fetch_checkpoint"} == {
        ("fetch_checkpoint", f"checkpoints/{model}/none/none/theirs/checkpoint.json") for model in ("tiny", "second")
    }
    house.snakemake(place, "--cores", "4")
    theirs["models"]["second"] = {"path": "config/second-model"}
    house.write_study(place, data)
    compute = {
        job for job in house.planned(place) if job[0] in ("fetch_checkpoint", "measure_energy", "evaluate_quality")
    }
    assert {path.split("/")[1] for _, path in compute} == {"second"}
    assert {path.split("/")[4] for _, path in compute} == {"theirs"}
