"""A study of two loops: what its selection leaves open, decides, and makes run."""

import csv
import json
import subprocess
import sys

import numpy as np
import pytest
import xarray as xr

from helpers import house

DATA = {
    "file": "config/data/saf/saf.jsonl",
    "template": "{question}\n{answer}\n",
    "answer": "feedback",
}
LORA = {"method": "lora", "precision": "float32", "epochs": [1, 2], "data": DATA}
QLORA = {"method": "qlora", "precision": "nf4", "epochs": 1, "data": DATA}
# Prunings and quantizations of the second loop of each
SECOND = {
    "lora-e1": [("none", "nf4"), ("half", "fp32"), ("half", "nf4")],
    "qlora": [("none", "fp32"), ("half", "fp32"), ("half", "nf4")],
}
SECOND["lora-e2"] = SECOND["lora-e1"]


@pytest.fixture
def two_loops(own):
    """A complete house, and its study with trainings of which one goes on."""
    place, data = own
    data["training"] = {"none": {"method": "none"}, "lora": dict(LORA), "qlora": dict(QLORA)}
    data["grid"] = {
        "exclude": [
            {"training": ["lora", "qlora"], "quantization": "gptq4"},
            {"training": ["lora", "qlora"], "hardware": "there"},
        ]
    }
    data["selection"] = {
        "candidates": [
            {"training": "lora", "pruning": "none", "quantization": "fp32"},
            {"training": "qlora", "pruning": "none", "quantization": "nf4"},
        ],
        "count": 1,
    }
    house.write_study(place, data)
    return place, data


def of_cells(training, cells):
    """The jobs of cells, beside those that make weights."""
    places = [f"tiny/{training}/{pruning}/{quantization}" for pruning, quantization in cells]
    return {
        *(
            ("measure_energy", f"energy/{p}/here/transformers/questions/{s}")
            for p in places
            for s in (1, 2)
        ),
        *(
            ("evaluate_quality", f"quality/{p}/{task}")
            for p in places
            for task in ("text", "facts")
        ),
    }


def second(training):
    """The jobs of the second loop of a training."""
    pruned = {("prune_weights", f"pruned/tiny/{training}/half")}
    return of_cells(training, SECOND[training]) | pruned


def first():
    """Those of the first loop that a finished study without trainings lacks."""
    jobs = {
        (script, f"{kind}/tiny/{training}")
        for training in SECOND
        for script, kind in (("train_model", "training"), ("merge_training", "trained"))
    }
    for training in SECOND:
        jobs |= of_cells(training, [("none", "nf4" if training == "qlora" else "fp32")])
    return jobs


def planned(place, *part):
    """Where the records lie that the plan would make; and how many more of each kind at most."""
    paths, later = json.loads(house.said_by(place, house.HELPERS / "planned.py", *part))
    return {path.rpartition("/")[0] for path in paths}, later


def places(jobs):
    return {path for _, path in jobs}


def dry_run(place, *options):
    """What a dry-run says, and the jobs that compute in it."""
    said = house.snakemake(place, "--dry-run", "--printshellcmds", *options).stdout
    found = {(script, path.rpartition("/")[0]) for script, path in house.JOB.findall(said)}
    return said, {job for job in found if job[0] not in house.CONCLUSIONS}


def selected(place):
    return json.loads((place / "results/studies/small/selection.json").read_text())


def changed(place, data, **selection):
    data["selection"] |= selection
    house.write_study(place, data)


def roles(place):
    """Role -> the cells that have it, as training/pruning/quantization."""
    with xr.open_datatree(place / "results/studies/small/study.nc") as tree:
        codes = tree["ranking"].selection.load()
    meanings = codes.attrs["flag_meanings"].split()
    assert codes.attrs["flag_values"].tolist() == list(range(len(meanings)))
    found = {}
    for labels, code in codes.to_series().items():
        if labels[4] == "here":
            found.setdefault(meanings[code], set()).add("/".join(labels[1:4]))
    return found


# Both numbers of epochs, without weights that are pruned
LORAS = "training=lora pruning=none"


def cells_of(training):
    return {f"{training}/{pruning}/{quantization}" for pruning, quantization in SECOND[training]}


PLACE = {"hardware": "here", "engine": "transformers", "workload": "questions"}
STUDY, SELECTION = (f"results/studies/small/{name}" for name in ("study.nc", "selection.json"))


@pytest.mark.slow
def test_the_best_go_on_and_nothing_is_made_twice(two_loops):
    place, data = two_loops
    # before the first loop: the most that it may be, and what is open
    said, jobs = dry_run(place)
    assert "of 3 trained models the best 1 will go on" in said
    assert "at most 3 cells with 6 sessions to run, out of 9 cells with 18 sessions to run" in said
    assert "scripts/select_trained.py" in said
    assert jobs == first()
    assert planned(place) == (places(first()), {"pruned": 1, "energy": 6, "quality": 6})
    # a part has its cells of the first loop, and decides nothing
    said, jobs = dry_run(place, "--config", f"only={LORAS}")
    assert jobs == {job for job in first() if "/qlora" not in job[1]}
    assert "select_trained" not in said
    assert planned(place, LORAS) == (places(jobs), {"energy": 2, "quality": 2})
    # one call runs both loops
    house.snakemake(place, STUDY, "--cores", "2")
    names = [(each["training"], each["goes_on"]) for each in selected(place)["candidates"]]
    assert names == [("qlora", True), ("lora-e1", False), ("lora-e2", False)]
    assert selected(place)["candidates"][1]["why"] == "place 2 of 3, 1 goes on"
    assert planned(place) == (set(), None)
    found = roles(place)
    assert found["goes_on"] == {"qlora/none/nf4"}
    assert found["second_loop"] == cells_of("qlora")
    assert found["left_out"] == cells_of("lora-e1") | cells_of("lora-e2")
    # another weight: a dry-run shows what is new, exactly, and writes nothing
    changed(place, data, weight=0)
    before = selected(place)
    _, jobs = dry_run(place)
    assert jobs == second("lora-e1")
    assert planned(place) == (places(second("lora-e1")), None)
    assert selected(place) == before
    house.snakemake(place, STUDY, "--cores", "2")
    found = roles(place)
    assert found["second_loop"] == cells_of("lora-e1")
    assert found["fell_out"] == cells_of("qlora")
    with open(place / "results/studies/small/ranking.csv", newline="") as stream:
        rows = {
            f"{row['training']}/{row['pruning']}/{row['quantization']}": row
            for row in csv.DictReader(stream)
            if row["hardware"] == "here"
        }
    out = rows["qlora/half/nf4"]
    assert (out["selection"], out["rank"], out["score"]) == ("fell out", "", "")
    assert "fell out of the selection" in out["note"]
    assert float(out["efficiency"]) > 0.5
    assert rows["lora-e1/half/nf4"]["rank"]
    assert rows["qlora/none/nf4"]["selection"] == "stays behind"
    # what the study asks for more does not undo what there is of them
    protocol, quality = data["protocol"], data["quality"]
    facts = {"facts": quality["facts"] | {"fewshot": 1}}
    house.write_study(
        place,
        data | {"protocol": protocol | {"sessions": 3}, "quality": quality | facts},
    )
    house.snakemake(place, STUDY, "--cores", "2")
    assert roles(place)["fell_out"] == cells_of("qlora")
    with xr.open_datatree(place / STUDY) as tree:
        out = {"model": "tiny", "training": "qlora", "pruning": "half", "quantization": "nf4"}
        energy = tree["energy"].energy.sel(out | PLACE | {"component": "cpu"})
        assert np.isfinite(energy).values.tolist() == [True, True, False]
        metrics = tree["quality"].quality.sel(out)
        known = dict(zip(metrics.metric.values, np.isfinite(metrics.values), strict=True))
        assert known["text.perplexity"]
        assert not known["facts.acc"]
    assert planned(place) == (set(), None)
    house.write_study(place, data)
    # back, and more of them: what was made is found again
    del data["selection"]["weight"]
    changed(place, data)
    assert planned(place) == (set(), None)
    changed(place, data, count=3)
    assert planned(place) == (places(second("lora-e2")), None)
    _, jobs = dry_run(place, "--config", f"only={LORAS}")
    assert jobs == of_cells("lora-e2", [("none", "nf4")])
    assert planned(place, LORAS) == (places(jobs), None)
    # a finding never goes on, and a candidate's record that is gone opens the selection again
    for path in (place / "results/energy/tiny/qlora/none/nf4").rglob("*.json"):
        record = {k: v for k, v in json.loads(path.read_text()).items() if k in HEADER}
        path.write_text(json.dumps(record | {"status": "oom", "reason": "no memory left"}))
    house.snakemake(place, SELECTION, "--cores", "2")
    last = selected(place)["candidates"][-1]
    assert (last["training"], last["goes_on"]) == ("qlora", False)
    assert last["why"] == "no rank: oom: no memory left"
    assert "because no more have a rank; 3 were asked for" in selected(place)["said"][0]
    house.record(place, "quality/tiny/qlora/none/nf4/text").unlink()
    assert planned(place)[0] == {"quality/tiny/qlora/none/nf4/text"}
    assert planned(place)[1] is not None


HEADER = ("schema_version", "id", "spec", "started", "elapsed_s", "host")


@pytest.mark.slow
def test_two_loops_of_a_real_model(of_llm, tmp_path):
    """Real trainings, of which one goes on; then with another weight the other."""
    place = house.copy_project(tmp_path / "house")
    helper = house.HELPERS / "tiny_model.py"
    subprocess.run([of_llm(place, "peft"), helper, place / "config/tiny"], check=True)
    few = DATA | {"limit": 6, "template": "{verification}: "}
    shape = {"batch_size": 2, "sequence_length": 400, "too_long": "truncate", "data": few}
    data = {
        "study": "small",
        "model": {"tiny": {"path": "config/tiny"}},
        "training": {
            "none": {"method": "none"},
            "lora": LORA | shape | {"epochs": 1},
            "full": LORA | shape | {"epochs": 1, "method": "full", "learning_rate": 0.01},
        },
        "pruning": {"none": {"method": "none"}, "half": {"method": "magnitude", "ratio": 0.5}},
        "quantization": {"fp32": {"method": "cast", "dtype": "float32"}},
        "hardware": {"here": {"device": "cpu", "threads": 1}},
        "engine": {"transformers": {"method": "transformers"}},
        "workload": {"questions": house.TWO_PROMPTS},
        "grid": {"exclude": [{"training": "none", "pruning": "half"}]},
        "selection": {"candidates": [{"pruning": "none"}], "count": 1, "weight": 0},
        "protocol": {
            "sessions": 1,
            "min_seconds": 0.2,
            "max_windows": 2,
            "idle_seconds": 0,
            "disturbed": "accept",
        },
        "quality": {"text": house.SHORT_TEXT},
        "ranking": {"baseline": {"quantization": "fp32"}},
        "carbon": {"zones": {"DEU": {}}},
    }
    house.write_study(place, data)
    house.snakemake(place, "--cores", "2")
    first, *rest = selected(place)["candidates"]
    assert first["goes_on"]
    assert first["quality"] > rest[0]["quality"]
    (other,) = (each["training"] for each in rest)
    made = {path.parts[-2] for path in (place / "results/pruned/tiny").glob("*/half")}
    assert made == {first["training"]}
    said = f"Of tiny 1 of 2 trained models go on: {first['training']}."
    page = (place / "results/studies/small/report.html").read_text()
    assert f"Selected by R with w = 0: {said}" in page
    script = [sys.executable, "scripts/show_answer.py", "results/studies/small"]
    told = subprocess.run(script, cwd=place, capture_output=True, text=True, check=True).stdout
    assert said in told
    assert "second loop" in told
    # both go on: the first one's records are taken as they are
    before = {path: path.stat().st_mtime_ns for path in (place / "results/energy").rglob("*.json")}
    changed(place, data, count=2)
    house.snakemake(place, STUDY, "--cores", "2")
    after = {path: path.stat().st_mtime_ns for path in (place / "results/energy").rglob("*.json")}
    assert before.items() <= after.items()
    (new,) = after.keys() - before.keys()
    assert f"/{other}/half/" in str(new)
    # another weight alone: nothing of it is new
    changed(place, data, count=1, weight=1)
    assert planned(place) == (set(), None)
