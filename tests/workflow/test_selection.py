"""A study of two loops: what its selection leaves open, decides, and makes run."""

import csv
import json

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
        *(("evaluate_quality", f"quality/{p}/{task}") for p in places for task in ("text", "facts")),
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


def computed(jobs):
    return {job for job in jobs if job[1]}


def planned(place):
    """What a dry-run shows, after the plan was compared with it."""
    jobs = house.planned(place)
    house.snakemake(place, "plan")
    written = json.loads((place / "results/studies/small/plan/plan.json").read_text())
    assert len(written["to_run"]) == len(computed(jobs))
    return jobs, written


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


def cells_of(training):
    return {f"{training}/{pruning}/{quantization}" for pruning, quantization in SECOND[training]}


@pytest.mark.slow
def test_the_best_go_on_and_nothing_is_made_twice(two_loops):
    place, data = two_loops
    # before the first loop: the most that it may be, and what is open
    said = house.snakemake(place, "--dry-run").stdout
    assert "of 3 trained models the best 1 will go on" in said
    assert "at most 3 cells with 6 sessions, out of 9 cells with 18 sessions" in said
    jobs, written = planned(place)
    assert computed(jobs) == first()
    assert ("select_trained", "") in jobs
    most = {each["kind"]: each["to_run"] for each in written["open"]["jobs"]}
    assert most == {"pruned": 1, "energy": 6, "quality": 6}
    # one call runs both loops
    house.snakemake(place, "--cores", "2")
    names = [(each["training"], each["goes_on"]) for each in selected(place)["candidates"]]
    assert names == [("qlora", True), ("lora-e1", False), ("lora-e2", False)]
    assert selected(place)["candidates"][1]["why"] == "place 2 of 3, 1 goes on"
    jobs, written = planned(place)
    assert jobs == set()
    assert "open" not in written
    found = roles(place)
    assert found["goes_on"] == {"qlora/none/nf4"}
    assert found["second_loop"] == cells_of("qlora")
    assert found["left_out"] == cells_of("lora-e1") | cells_of("lora-e2")
    # another weight: a dry-run shows what is new, exactly, and writes nothing
    changed(place, data, weight=0)
    before = selected(place)
    jobs, _ = planned(place)
    assert computed(jobs) == second("lora-e1")
    assert selected(place) == before
    house.snakemake(place, "--cores", "2")
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
    page = (place / "results/studies/small/report.html").read_text()
    assert "Selected by R with w = 0: " in page
    # back, and more of them: all is found again
    del data["selection"]["weight"]
    changed(place, data)
    assert computed(house.planned(place)) == set()
    changed(place, data, count=2)
    assert computed(house.planned(place)) == set()
    changed(place, data, count=3)
    assert computed(house.planned(place)) == second("lora-e2")
    # a finding never goes on, and a candidate that is gone opens the selection again
    for path in (place / "results/energy/tiny/qlora/none/nf4").rglob("*.json"):
        record = {k: v for k, v in json.loads(path.read_text()).items() if k in HEADER}
        path.write_text(json.dumps(record | {"status": "oom", "reason": "no memory left"}))
    house.snakemake(place, "--cores", "2")
    last = selected(place)["candidates"][-1]
    assert (last["training"], last["goes_on"], last["why"]) == (
        "qlora",
        False,
        "no rank: oom: no memory left",
    )
    assert "3 were wanted, and no more have a rank" in selected(place)["said"][0]
    house.record(place, "quality/tiny/qlora/none/nf4/text").unlink()
    jobs, written = planned(place)
    assert computed(jobs) == {("evaluate_quality", "quality/tiny/qlora/none/nf4/text")}
    assert "open" in written


HEADER = ("schema_version", "id", "spec", "started", "elapsed_s", "host")
