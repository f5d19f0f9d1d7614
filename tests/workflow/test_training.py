"""Trainings in a study: what they make run, and how they stand in the dataset."""

import json
import re
import shutil

import pytest
import xarray as xr

from helpers import house

LORA = {
    "method": "lora",
    "precision": "float32",
    "epochs": [2, 3],
    "data": {
        "file": "config/data/saf/saf.jsonl",
        "template": "{question}\n{answer}\n",
        "answer": "feedback",
    },
}
LABELS = ("lora-e2", "lora-e3")


@pytest.fixture
def with_lora(own):
    """A complete house, and its study with LoRA on fp32, half pruned or not."""
    place, data = own
    data["training"] = {"none": {"method": "none"}, "lora": dict(LORA)}
    data["grid"] = {
        "exclude": [
            {"training": "lora", "quantization": ["nf4", "gptq4"]},
            {"training": "lora", "hardware": "there"},
        ]
    }
    house.write_study(place, data)
    return place, data


def behind(labels):
    """The jobs behind trainings of these labels."""
    return {
        job
        for label in labels
        for job in (
            ("train_model", f"training/tiny/{label}"),
            ("merge_training", f"trained/tiny/{label}"),
            ("prune_weights", f"pruned/tiny/{label}/half"),
            *(
                ("measure_energy", f"energy/tiny/{label}/{p}/fp32/here/transformers/questions/{s}")
                for p in ("none", "half")
                for s in (1, 2)
            ),
            *(
                ("evaluate_quality", f"quality/tiny/{label}/{p}/fp32/{task}")
                for p in ("none", "half")
                for task in ("text", "facts")
            ),
        )
    }


def computed(jobs):
    return {job for job in jobs if job[1]}


def test_a_training_runs_what_is_behind_it_and_nothing_else(with_lora):
    place, data = with_lora
    assert computed(house.wanted(place)) == behind(LABELS)
    data["training"]["lora"]["epochs"] = [3]
    house.write_study(place, data)
    assert computed(house.wanted(place)) == behind(["lora-e3"])


@pytest.mark.slow
def test_a_study_with_trainings_from_plan_to_dataset(with_lora, tmp_path):
    place, data = with_lora
    assert computed(house.planned(place)) == behind(LABELS)
    house.snakemake(place, "--cores", "2")
    assert computed(house.wanted(place)) == set()
    tree = xr.open_datatree(place / "results/studies/small/study.nc")
    training = tree["training"].to_dataset().sel(model="tiny")
    longer = training.sel(training="lora-e3")
    assert longer.shared.values.tolist() == [1, 1, 0], "it went on with the shorter one"
    assert longer.training_loss.values.tolist() == pytest.approx([3.0, 1.5, 1.0])
    assert longer.energy.sum("component").values.tolist() == [3.0, 3.0, 3.0]
    shorter = training.sel(training="lora-e2")
    assert shorter.basis.sel(component="cpu").values.tolist() == [1, 1, 3]
    assert shorter.validation_loss.isnull().values.tolist() == [False, False, True]
    assert float(shorter.lost_energy.sum()) == 3.0
    assert float(shorter.merged_loss) == 1.0
    assert shorter.counted.item() == "1 too_long"
    made = tree["weights"].making_energy.sel(model="tiny", quantization="fp32")
    assert float(made.sel(training="lora-e3", pruning="none")) == 18 + 3
    assert float(made.sel(training="lora-e3", pruning="half")) == 18 + 3 + 3
    cost = tree["cost"].to_dataset()
    assert float(cost.energy.sel(kind="training")) == 6, "what the jobs used, shared epochs once"
    tree.close()
    folder = place / "results/studies/small"
    drawn = {path.stem for path in (folder / "figures").iterdir()}
    assert {"trainings", "lengths"} <= drawn
    page = (folder / "report.html").read_text(encoding="utf-8")
    (epochs,) = re.findall(r'<table id="epochs">.*?</table>', page, re.DOTALL)
    assert epochs.count("<tr><td>lora-e2<") == 1 + 2
    assert epochs.count("shared with a shorter training") == 2
    (said,) = re.findall(r'<ul id="trained">(.*?)</ul>', page, re.DOTALL)
    assert (
        "<li>lora-e2, lora-e3: of its data were left out, cut or suspicious: 1 too long.</li>"
        in said
    )
    assert ": interrupted once, which lost 3 J and " in said
    assert "<tr><td>training samples</td><td>lora-e2, lora-e3</td>" in page
    # another number of epochs: that alone, behind the longest there is
    data["training"]["lora"]["epochs"] = [2, 3, 4]
    house.write_study(place, data)
    assert computed(house.planned(place)) == behind(["lora-e4"])
    done = house.snakemake(place, "--dry-run", "--printshellcmds")
    (line,) = [text for text in done.stdout.splitlines() if "scripts/train_model.py" in text]
    weights = house.record(place, "training/tiny/lora-e3").with_suffix("")
    assert f"--shorter {weights.relative_to(place)}" in line
    # weights of the shorter ones that a scratch has lost are not made again for that
    for label in LABELS:
        shutil.rmtree(house.record(place, f"training/tiny/{label}").with_suffix(""))
    assert computed(house.planned(place)) == behind(["lora-e4"])
    record = house.record(place, "training/tiny/lora-e2")
    found = json.loads(record.read_text())
    found["epochs"] = []
    record.write_text(json.dumps(found))
    for stamp in (place / "results/studies/small/made").iterdir():
        stamp.unlink()
    done = house.snakemake(place, "partial", "--cores", "2")
    listed = (place / "results/studies/small/partial/missing.csv").read_text()
    assert "training/tiny/lora-e2" in listed
    assert "the file is damaged" in listed
