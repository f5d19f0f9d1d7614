"""What a user of the workflow meets besides its results: errors, unfinished studies, the plan."""

import csv
import json
import re
import shutil

import pandas as pd
import pytest
import xarray as xr

from helpers import house

FIGURES = (
    "energy_quality",
    "weight_sensitivity",
    "metric_changes",
    "energy_components",
    "carbon_zones",
)


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
        assert sum(script == "measure_energy" for script, _ in jobs) == 3 * 2 * 2 * (5 + 2 * 3)


@pytest.mark.parametrize(
    "study", sorted(p.name for p in (house.ROOT / "config/studies").glob("*.yaml"))
)
def test_every_ready_made_study_plans(tmp_path, study):
    place = house.copy_project(tmp_path / "house")
    house.put_stand_in(place)
    shutil.copy(place / "config/studies" / study, place / "config/study.yaml")
    assert {"merge_measurements", "write_report"} <= {script for script, _ in house.planned(place)}


# Enough of a run where figures and report are not looked at
MERGED, STUDY = (f"results/studies/small/{name}.nc" for name in ("measurements", "study"))
NF4 = "energy/tiny/none/none/nf4/here/transformers/questions/1"


@pytest.mark.slow
def test_an_unfinished_study_is_merged_and_ranked_and_what_is_missing_is_listed(own):
    place, _ = own
    house.record(place, NF4).unlink()
    for path in (place / "results/energy/tiny/none/none/fp32/there").rglob("*.json"):
        if path.parts[-2] == "1":  # a session that stayed disturbed leaves its windows
            reason = "the machine was disturbed: other processes used 40% of the CPUs\nand a log"
            kept = {"reason": reason, "windows": [{}, {}]}
            path.with_suffix(".disturbed.json").write_text(json.dumps(kept))
        path.unlink()
    damaged = house.record(place, "quality/tiny/none/none/gptq4/text")
    damaged.write_text(damaged.read_text()[:40])
    house.snakemake(place, "partial")
    with open(place / "results/studies/small/partial/missing.csv", newline="") as stream:
        missing = {
            (re.sub(r"/[0-9a-f]{16}.json", "", r["path"]), r["status"], r["reason"])
            for r in csv.DictReader(stream)
        }
    fp32 = "results/energy/tiny/none/none/fp32/there/transformers/questions"
    assert missing == {
        (f"results/{NF4}", "missing", ""),
        (
            f"{fp32}/1",
            "missing",
            "the machine was disturbed: other processes used 40% of the CPUs (2 windows are kept)",
        ),
        (f"{fp32}/2", "missing", ""),
        (
            "results/quality/tiny/none/none/gptq4/text",
            "missing",
            "the file is damaged: delete it and run snakemake again",
        ),
    }
    with open(place / "results/studies/small/partial/ranking.csv", newline="") as stream:
        rows = {(r["pruning"], r["quantization"], r["hardware"]): r for r in csv.DictReader(stream)}
    assert rows["none", "nf4", "here"]["sessions"] == "1"
    assert rows["none", "nf4", "here"]["rank"] != ""
    assert rows["none", "gptq4", "here"]["rank"] == ""
    assert rows["none", "nf4", "there"]["note"] == "no energy of the baseline in this place"
    assert not list((place / "results" / NF4).glob("*.json")), "partial computes nothing"
    # windows of a session that cannot count are no record: it is tried again
    again = {path for script, path in house.wanted(place) if script == "measure_energy"}
    assert again == {NF4, *(f"{fp32}/{n}".removeprefix("results/") for n in (1, 2))}


KINDS = {
    "energy": NF4,
    "quality": "quality/tiny/none/none/gptq4/text",
    "weights": "weights/tiny/none/none/gptq4",
    "pruned": "pruned/tiny/none/half",
    "models": "models/tiny",
}


OTHERS = [pytest.param(damage, marks=pytest.mark.slow) for damage in ("key", "list")]


@pytest.mark.parametrize("damage", ["cut", *OTHERS])
def test_damaged_records_stop_the_merge_and_are_named(own, damage):
    place, _ = own
    paths = {kind: house.record(place, folder) for kind, folder in KINDS.items()}
    for path in paths.values():
        record = json.loads(path.read_text())
        for key in ("windows", "metrics", "bytes") if damage == "key" else ():
            record.pop(key, None)
        text = json.dumps([] if damage == "list" else record)
        path.write_text(text[:40] if damage == "cut" else text)
    for stamp in (place / "results/studies/small/made").iterdir():
        stamp.unlink()
    done = house.snakemake(place, "--cores", "2", check=False)
    assert done.returncode == 1
    for kind, path in paths.items():
        assert f"results/{KINDS[kind]}/{path.name}: " in done.stdout + done.stderr
        path.unlink()
    assert "the file is damaged: delete it and run snakemake again" in done.stdout + done.stderr
    assert (
        "Traceback" not in (place / "results/studies/small/logs/merge_measurements.log").read_text()
    )
    assert {job for _, job in house.wanted(place)} - {""} == set(KINDS.values())


@pytest.mark.slow
def test_findings_are_results(own):
    """A cell that does not fit is done: it is not tried again, and the dataset says so."""
    place, _ = own
    for session in (1, 2):
        path = house.record(place, NF4[:-1] + str(session))
        record = json.loads(path.read_text())
        for key in (
            "windows",
            "idle",
            "loading",
            "memory_bytes",
            "weights_bytes",
            "components",
        ):
            del record[key]
        path.write_text(json.dumps(record | {"status": "oom", "reason": "too big"}))
    assert house.planned(place) == set()
    for stamp in (place / "results/studies/small/made").iterdir():
        stamp.unlink()
    house.snakemake(place, "--cores", "2")
    with xr.open_datatree(place / "results/studies/small/study.nc") as tree:
        cell = tree["energy"].sel(pruning="none", quantization="nf4", hardware="here")
        status = tree["energy"].status.attrs["flag_meanings"].split()[int(cell.status.max())]
        assert status == "oom"
        assert set(cell.reason.values.ravel()) == {"too big"}
        assert cell.energy.isnull().all()
        assert tree["energy"].energy.notnull().sum() == 11 * 2 * 3
    assert house.planned(place) == set()


@pytest.mark.slow
def test_boards_that_mix_under_one_label_are_seen(own):
    place, _ = own
    boards = {
        1: ("NVIDIA A100-PCIE-40GB", 40e9, "GPU-a"),
        2: ("NVIDIA A100-SXM4-80GB", 80e9, "GPU-b"),
    }
    for session, (name, memory, uuid) in boards.items():
        path = house.record(place, NF4[:-1] + str(session))
        record = json.loads(path.read_text())
        record["device"]["gpus"] = [{"name": name, "memory_bytes": memory, "uuid": uuid}]
        path.write_text(json.dumps(record))
    for stamp in (place / "results/studies/small/made").iterdir():
        stamp.unlink()
    house.snakemake(place, "--cores", "2")
    with xr.open_datatree(place / "results/studies/small/study.nc") as tree:
        cell = (
            tree["energy"]
            .to_dataset()
            .sel(pruning="none", quantization="nf4", hardware="here")
            .squeeze()
        )
        assert cell.gpu.values.tolist() == [board[0] for board in boards.values()]
        assert cell.gpu_memory.values.tolist() == [40e9, 80e9]
        assert cell.gpu_uuid.values.tolist() == ["GPU-a", "GPU-b"]
    page = (place / "results/studies/small/report.html").read_text()
    assert "NVIDIA A100-PCIE-40GB; NVIDIA A100-SXM4-80GB <strong>(mixed)</strong>" in page


@pytest.mark.slow
def test_snakemakes_own_report_holds_the_tables_figures_and_report(own):
    place, _ = own
    done = house.snakemake(place, "--report", "all.html", check=False)
    page = place / "all.html"
    assert page.exists(), done.stderr[-3000:]
    text = page.read_text()
    captions = {path.stem for path in (place / "docs/captions").glob("*.rst")}
    captions.remove("tokens")  # of studies with a sweep
    assert captions == {"ranking", "carbon", "report", *FIGURES}
    for name in ("ranking.csv", "carbon.csv", "report.html", *(f"{f}.svg" for f in FIGURES)):
        assert f'"name": "{name}"' in text
        # each with its place in the menu, and a caption of its own
        (labels,) = re.findall(rf'"name": "{name}".*?"labels": ({{.*?}})', text)
        assert set(json.loads(labels)) == {"study", "shows", "file"}
    assert text.count('"caption": "<p>') == len(captions)


@pytest.mark.slow
def test_a_study_without_zones_and_without_a_single_success_still_has_its_report(own):
    place, data = own
    del data["carbon"]
    house.write_study(place, data)
    for path in (place / "results/energy").rglob("*.json"):
        record = {
            k: v
            for k, v in json.loads(path.read_text()).items()
            if k in ("schema_version", "spec", "id")
        }
        path.write_text(json.dumps(record | {"status": "oom", "reason": "too big"}))
    for stamp in (place / "results/studies/small/made").iterdir():
        stamp.unlink()
    house.snakemake(place, "--cores", "2")
    with open(place / "results/studies/small/ranking.csv", newline="") as stream:
        assert {row["note"] for row in csv.DictReader(stream)} == {"oom"}
    assert "too big" not in (place / "results/studies/small/carbon.csv").read_text()
    page = (place / "results/studies/small/report.html").read_text()
    assert "The study names no zone of an electricity grid" in page
    assert 'id="zones"' not in page


def commands(place):
    """(environment, script) of every job of one quantization that a dry-run wants."""
    done = house.snakemake(place, "--dry-run", "--printshellcmds")
    job = r"(envs/\w+)/\.venv/bin/python scripts/(\w+)\.py --spec .* --output \S*/q4/"
    return re.findall(job, done.stdout + done.stderr)


@pytest.mark.slow
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
    data["hardware"].pop("there")
    house.write_study(place, data)
    found = set(commands(place))
    assert found == {
        ("envs/llamacpp", "quantize_weights"),
        ("envs/llamacpp", "measure_energy"),
        ("envs/llm", "evaluate_quality"),
    }
    scripts = [job[0] for job in house.planned(place)]
    assert scripts.count("measure_energy") == 2, "what was measured with transformers stays"
    (place / "scripts/build_environment.py").write_text(
        "import sys; print('building', sys.argv[1])"
    )
    done = house.snakemake(place, MERGED, "--cores", "4")
    assert [line for line in done.stdout.splitlines() if line.startswith("building")] == [
        "building envs/llamacpp",
        "building envs/llm",
    ]


@pytest.mark.slow
def test_environments_of_the_whole_study_are_built_before_its_first_compute_job(
    own,
):
    """Jobs that are not known yet, behind a checkpoint, find their environment; the cheap end needs
    none.
    """
    place, data = own
    (place / "scripts/build_environment.py").write_text(
        "import sys; print('building', sys.argv[1])"
    )
    data["ranking"]["weight"] = 0.5
    house.write_study(place, data)
    assert "building" not in house.snakemake(place, STUDY, "--cores", "2").stdout
    data["engine"]["llamacpp"] = {"method": "llamacpp"}
    data["quantization"]["q4"] = {"method": "gguf", "type": "Q4_K_M"}
    data["grid"] = {"exclude": [{"quantization": "q4"}, {"engine": "llamacpp"}]}
    house.write_study(place, data)
    house.record(place, NF4).unlink()
    done = house.snakemake(place, MERGED, "--cores", "2")
    assert "building envs/llamacpp" in done.stdout
    assert "building envs/llm" in done.stdout


@pytest.mark.slow
def test_cells_that_no_engine_runs_send_no_jobs_and_are_in_the_dataset(own):
    place, data = own
    data["engine"]["llamacpp"] = {"method": "llamacpp"}
    house.write_study(place, data)
    assert {job for job in house.planned(place) if job[1]} == set()
    house.snakemake(place, STUDY, "--cores", "2")
    with xr.open_datatree(place / "results/studies/small/study.nc") as tree:
        cells = tree["energy"].sel(engine="llamacpp")
        assert set(cells.status.values.ravel()) == {2}
        assert (
            "the engine llamacpp does not load cast; it loads gguf" in cells.reason.values.ravel()
        )


@pytest.mark.slow
def test_ready_made_weights_are_fetched_for_each_model_and_rerun_for_one(own):
    place, data = own
    data["model"]["second"] = {"path": "config/second-model"}
    theirs = {
        "method": "prequantized",
        "models": {m: {"path": "config/model"} for m in ("tiny", "second")},
    }
    data["quantization"]["theirs"] = theirs
    data["grid"] = {"exclude": [{"pruning": "half", "quantization": "theirs"}]}
    house.write_study(place, data)
    jobs = house.planned(place)
    assert {job for job in jobs if job[0] == "fetch_weights"} == {
        ("fetch_weights", f"weights/{model}/none/none/theirs") for model in ("tiny", "second")
    }
    house.snakemake(place, MERGED, "--cores", "4")
    theirs["models"]["second"] = {"path": "config/second-model"}
    house.write_study(place, data)
    compute = {
        job
        for job in house.planned(place)
        if job[0] in ("fetch_weights", "measure_energy", "evaluate_quality")
    }
    assert {path.split("/")[1] for _, path in compute} == {"second"}
    assert {path.split("/")[4] for _, path in compute} == {"theirs"}


def test_jobs_that_were_planned_before_an_edit_fail_and_say_so(own):
    """A job in a queue asks for a result that the study no longer has: nothing is measured by
    another spec.
    """
    place, data = own
    path = house.record(place, NF4)
    path.unlink()
    data["workload"]["questions"]["new_tokens"] = 9
    house.write_study(place, data)
    done = house.snakemake(place, str(path.relative_to(place)), "--cores", "1", check=False)
    assert done.returncode == 1
    assert "has changed since it was planned: run snakemake again" in done.stdout + done.stderr


@pytest.mark.slow
def test_a_file_of_the_cheap_end_that_is_asked_for_by_name_is_made_anew(own):
    place, data = own
    data["ranking"]["weight"] = 0.5
    house.write_study(place, data)
    ranking = "results/studies/small/ranking.csv"
    assert house.planned(place, ranking) == {("analyse_study", "")}
    house.snakemake(place, ranking, "--cores", "1")
    assert house.planned(place, ranking) == set()
    assert house.planned(place) == {("draw_figures", ""), ("write_report", "")}


@pytest.mark.slow
def test_sessions_follow_each_other_and_cells_are_shuffled(own):
    """Session 1 of all cells before session 2 of any: what drifts falls into the spread of each."""
    place, _ = own
    shutil.rmtree(place / "results/energy")
    house.snakemake(place, "--cores", "1")
    records = (place / "results/energy").rglob("*.json")
    made = sorted(records, key=lambda path: path.stat().st_mtime_ns)
    cells = [(path.parts[-9:-2], path.parts[-2]) for path in made]
    assert [session for _, session in cells] == ["1"] * 12 + ["2"] * 12
    orders = [[cell for cell, session in cells if session == number] for number in "12"]
    assert sorted(orders[0]) == sorted(orders[1])
    assert orders[0] != orders[1]
    assert orders[0] != sorted(orders[0])


@pytest.mark.slow
def test_the_export_is_written_and_nothing_is_measured_for_it(own):
    place, _ = own
    energy = sorted((place / "results/energy").rglob("*.json"))
    house.snakemake(place, "export", "--cores", "2")
    folder = place / "results/studies/small/export"
    assert {path.name for path in folder.iterdir()} == {
        "beside.csv",
        "measurements.csv",
        "measurements.parquet",
        "ranking.csv",
        "ranking.md",
        "ranking.tex",
        "README.md",
    }
    frame = pd.read_parquet(folder / "measurements.parquet")
    assert len(frame) == len(energy)
    assert sorted((place / "results/energy").rglob("*.json")) == energy


@pytest.mark.slow
def test_an_hourly_series_tells_the_best_hours_and_its_change_is_seen(own):
    place, data = own
    rows = [
        f"2024-01-{day:02}T{hour:02}:00,{100 + hour}" for day in range(1, 25) for hour in range(24)
    ]
    series = place / "config/hours.csv"
    series.write_text("\n".join(["time,g", *rows]))
    data["carbon"]["zones"]["MINE"] = {"series": "config/hours.csv", "source": "mine"}
    house.write_study(place, data)
    house.snakemake(place, "--cores", "2")
    folder = place / "results/studies/small"
    carbon = pd.read_csv(folder / "carbon.csv")
    assert set(carbon[carbon.zone == "MINE"].intensity_g_per_kwh) == {111.5}
    assert set(carbon[carbon.zone == "MINE"].intensity_basis) == {"unknown"}
    page = (folder / "report.html").read_text()
    assert "What the best start saves" in page
    assert (folder / "figures/grid_profile.svg").exists()
    assert "When jobs were cleanest to begin" in page
    assert house.planned(place) == set()
    series.write_text("\n".join(["time,g", *rows, "2024-01-25T00:00,900"]))
    assert {rule for rule, *_ in house.planned(place)} == {
        "analyse_study",
        "draw_figures",
        "write_report",
    }
