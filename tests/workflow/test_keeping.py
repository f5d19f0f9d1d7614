"""Results kept through upgrades, shared between clones and studies, and found when nobody needs
them any more.
"""

import json
import re
import shutil
import subprocess

import pytest
import xarray as xr
import yaml

from helpers import house
from workflow.rerun_table import GPTQ, energy, quality, second_study, study, weights, whole

REFACTORED = (
    "scripts/joulegrid/compression/quantization/gptq.py",
    "act_group_aware=False",
    "act_group_aware=bool(0)",
)


def edit(place, path, old, new):
    text = (place / path).read_text()
    assert old in text
    (place / path).write_text(text.replace(old, new))


def said(done):
    """What a target printed between Snakemake's own lines."""
    return done.stdout + done.stderr


@pytest.mark.slow
def test_two_clones_share_results(own, tmp_path):
    """Clone B gets results/ by cp -r, edits bits, wants exactly one configuration, goes back, wants
    nothing.
    """
    place, data = own
    clone = house.copy_project(tmp_path / "clone-b")
    house.put_stand_in(clone)
    shutil.copytree(place / "config", clone / "config", dirs_exist_ok=True)
    subprocess.run(["cp", "-r", place / "results", clone / "results"], check=True)
    assert house.planned(clone) == set()
    study(lambda s: s["quantization"]["gptq4"].update(bits=3))(clone, data)
    jobs = house.planned(clone)
    assert {job for job in jobs if job[1]} == whole(GPTQ)
    house.snakemake(clone, "--cores", "4")
    assert house.planned(clone) == set()
    study(lambda s: s["quantization"]["gptq4"].update(bits=4))(clone, data)
    assert {job for job in house.planned(clone) if job[1]} == set()
    # and clone A, who never left, has nothing to do
    assert house.planned(place) == set()


@pytest.mark.slow
def test_what_a_refactoring_left_behind_is_listed_taken_over_and_taken_back(own):
    place, _ = own
    edit(place, *REFACTORED)
    wanted = {job for job in house.planned(place) if job[1]}
    assert wanted == whole(GPTQ)
    listed = said(house.snakemake(place, "accept", "--cores", "1"))
    assert "2 weights could be kept" in listed
    assert "joulegrid.compression.quantization.gptq:quantize changed" in listed
    assert "8 energy, 4 quality could be kept" in listed
    assert "in all 14 records" in listed
    assert "0.14 hours" in listed
    assert {job for job in house.planned(place) if job[1]} == wanted, "listing takes nothing over"
    said(
        house.snakemake(
            place, "accept", "--cores", "1", "--config", "accept=same arithmetic, <b>refactored</b>"
        )
    )
    assert {job for job in house.planned(place) if job[1]} == set()
    house.snakemake(place, "--cores", "2")
    assert house.planned(place) == set()
    with xr.open_datatree(place / "results/studies/small/study.nc") as tree:
        kept = tree["energy"].accepted.sel(quantization="gptq4").values.ravel()
        assert set(kept) == {"same arithmetic, <b>refactored</b>"}
        assert set(tree["energy"].accepted.sel(quantization="nf4").values.ravel()) == {""}
    page = (place / "results/studies/small/report.html").read_text()
    assert "12 results: same arithmetic, &lt;b&gt;refactored&lt;/b&gt;" in page
    assert set(json.loads(accepted(place))["accepted"]) == {"from", "reason", "when"}
    # a new cell loads the accepted weights: nothing is quantized again
    data = json.loads(json.dumps(own[1]))
    study(lambda s: s["workload"].update(short={**s["workload"]["questions"], "new_tokens": 4}))(
        place, data
    )
    assert not {job for job in house.planned(place) if job[0] == "quantize_weights"}
    house.write_study(place, own[1])
    assert "14 records taken back" in said(house.snakemake(place, "retract", "--cores", "1"))
    assert {job for job in house.planned(place) if job[1]} == wanted


def accepted(place):
    """The text of an accepted weights record."""
    folder = place / "results/weights/tiny/none/none/gptq4"
    return next(text for path in folder.glob("*.json") if "accepted" in (text := path.read_text()))


def test_what_computes_something_else_is_not_offered(own):
    place, data = own
    study(lambda s: s["quantization"]["gptq4"].update(bits=3))(place, data)
    assert "nothing to accept" in said(house.snakemake(place, "accept", "--cores", "1"))


def test_an_upgrade_of_a_package_is_listed_with_its_versions(own):
    place, _ = own
    lock = place / "envs/llm/uv.lock"
    lock.write_text(
        re.sub(
            r'name = "bitsandbytes"\nversion = "([^"]+)"',
            'name = "bitsandbytes"\nversion = "99.0"',
            lock.read_text(),
        )
    )
    listed = said(house.snakemake(place, "accept", "--cores", "1"))
    assert re.search(r"bitsandbytes \d+\.\d+\.\d+ → 99\.0", listed)
    assert "8 energy, 4 quality could be kept" in listed


def test_results_that_no_study_names_are_listed_with_a_command_that_deletes_them(own):
    place, data = own
    for path in (place / "config/studies").glob("*.yaml"):
        path.unlink()
    (place / "config/config.yaml").unlink()
    assert "0 results that no study names" in said(house.snakemake(place, "unused", "--cores", "1"))
    study(lambda s: s["quantization"].pop("gptq4"))(place, data)
    listed = said(house.snakemake(place, "unused", "--cores", "1"))
    count = len(weights(GPTQ)) * 2 + len(energy(GPTQ)) + len(quality(GPTQ))
    assert f"{count} results that no study names" in listed
    assert "xargs -d '\\n' rm -r < results/unused.txt" in listed
    lines = (place / "results/unused.txt").read_text().splitlines()
    assert len(lines) == count
    assert all("/gptq4/" in line and (place / line).exists() for line in lines)
    # a study that still names them keeps them
    other = {**data, "study": "other", "quantization": {**own[1]["quantization"]}}
    other["quantization"]["gptq4"] = {
        "method": "gptq",
        "bits": 4,
        "calibration": {"text": "config/texts/calibration.txt"},
    }
    (place / "config/other.yaml").write_text(yaml.safe_dump(other))
    assert "0 results that no study names" in said(house.snakemake(place, "unused", "--cores", "1"))
    # one that cannot be read might name anything
    (place / "config/broken.yaml").write_text("study: x\nmodel: 3\n")
    done = house.snakemake(place, "unused", "--cores", "1", check=False)
    assert done.returncode == 1
    assert "broken.yaml" in said(done)


def test_studies_share_models_weights_and_measurements(own):
    """The second study finds, under labels of its own, what the first one made."""
    place, data = own
    study(second_study)(place, data)
    made = whole(new := {"none/gptq8", "half/gptq8"}) - energy(new, ("there",))
    assert {job for job in house.planned(place) if job[1]} == made
    house.snakemake(place, "results/studies/second/study.nc", "--cores", "4")
    with xr.open_datatree(place / "results/studies/second/study.nc") as tree:
        assert (tree["energy"].status == 0).all()
    assert (place / "results/studies/small/study.nc").exists()


def test_twins_are_measured_each(own):
    """Entries that differ in their labels alone are measured apart: none is taken for the other."""
    place, data = own
    study(lambda s: s["quantization"].update(twin=dict(s["quantization"]["nf4"])))(place, data)
    assert {job for job in house.planned(place) if job[1]} == energy(
        {"none/twin", "half/twin"}
    ) | quality({"none/twin", "half/twin"})
