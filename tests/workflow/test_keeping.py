"""Results kept through upgrades, shared between clones and studies, and found when nobody needs
them any more.
"""

import json
import re
import shlex
import shutil
import subprocess
import sys

import pytest
import xarray as xr
import yaml
from snakemake.utils import available_cpu_count

from helpers import house
from joulegrid.jobs.weights import is_whole
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
    listed = said(house.snakemake(place, "accept"))
    assert "2 weights could be kept" in listed
    assert "\n    joulegrid.compression.quantization.gptq:quantize changed" in listed
    assert "8 energy, 4 quality could be kept" in listed
    # what a measurement's weights were made with is part of what is judged
    assert "in its weights: joulegrid.compression.quantization.gptq:quantize changed" in listed
    assert f"made at {'0' * 40}; now at " in listed
    assert "in all 14 records" in listed
    assert "0.14 hours" in listed
    assert {job for job in house.planned(place) if job[1]} == wanted, "listing takes nothing over"
    said(house.snakemake(place, "accept", "--config", "accept=same arithmetic, <b>refactored</b>"))
    assert {job for job in house.planned(place) if job[1]} == set()
    house.snakemake(place, "--cores", "2")
    assert house.planned(place) == set()
    with xr.open_datatree(place / "results/studies/small/study.nc") as tree:
        kept = tree["energy"].accepted.sel(quantization="gptq4").values.ravel()
        assert set(kept) == {"same arithmetic, <b>refactored</b>"}
        assert set(tree["energy"].accepted.sel(quantization="nf4").values.ravel()) == {""}
    page = (place / "results/studies/small/report.html").read_text()
    assert "12 results: same arithmetic, &lt;b&gt;refactored&lt;/b&gt;" in page
    assert "weights of 2 configurations: same arithmetic, &lt;b&gt;refact" in page
    assert set(json.loads(accepted(place))["accepted"]) == {"from", "reason", "when"}
    # a new cell loads the accepted weights: nothing is quantized again
    data = json.loads(json.dumps(own[1]))
    study(lambda s: s["workload"].update(short={**s["workload"]["questions"], "new_tokens": 4}))(
        place, data
    )
    assert not {job for job in house.planned(place) if job[0] == "quantize_weights"}
    house.write_study(place, own[1])
    weights_of_accepted = [place / path.removesuffix(".json") for path in accepted_weights(place)]
    assert all((folder / "config.json").is_file() for folder in weights_of_accepted)
    assert "14 records taken back" in said(house.snakemake(place, "retract"))
    assert {job for job in house.planned(place) if job[1]} == wanted
    assert not any(folder.exists() for folder in weights_of_accepted)


def accepted(place):
    """The text of an accepted weights record."""
    (path,) = accepted_weights(place, "none")
    return (place / path).read_text()


def accepted_weights(place, pruning="*"):
    """The paths of accepted weights records."""
    paths = sorted(place.glob(f"results/weights/tiny/none/{pruning}/gptq4/*.json"))
    return [str(path.relative_to(place)) for path in paths if "accepted" in path.read_text()]


def accept(place, reason):
    return said(house.snakemake(place, "accept", "--config", f"accept={reason}"))


def ran(place, command):
    """What a command line that was printed says when it is run."""
    words = [sys.executable, "-m", *shlex.split(command)]
    return said(subprocess.run(words, cwd=place, capture_output=True, text=True, check=True))


def without_studies(place):
    """The house with config/study.yaml as its only study."""
    for path in [*(place / "config/studies").glob("*.yaml"), place / "config/config.yaml"]:
        path.unlink()


@pytest.mark.slow
def test_accepted_weights_need_nothing_of_those_they_were_taken_from(own):
    place, data = own
    without_studies(place)
    old = set((place / "results/weights").rglob("*.json"))
    edit(place, *REFACTORED)
    listed = said(house.snakemake(place, "unused"))
    # 14 records and two folders
    assert "0 results that no study names" in listed
    assert "16 more that no study names stay" in listed
    assert "`accept` could take it over" in listed
    assert not (place / "results/unused.txt").exists()
    accept(place, "same")
    listed = said(house.snakemake(place, "unused"))
    assert "0 results that no study names" in listed
    assert "16 more that no study names stay" in listed
    assert "something was taken over from it" in listed
    for path in old:  # and who deletes those all the same loses nothing
        path.unlink(missing_ok=True)
        shutil.rmtree(path.with_suffix(""), ignore_errors=True)
    for path in accepted_weights(place):
        folder = place / path.removesuffix(".json")
        assert is_whole(folder)
        assert not any(file.is_symlink() for file in folder.rglob("*"))
    assert {job for job in house.planned(place) if job[1]} == set()
    study(lambda s: s["workload"].update(short={**s["workload"]["questions"], "new_tokens": 4}))(
        place, data
    )
    assert not {job for job in house.planned(place) if job[0] == "quantize_weights"}


@pytest.mark.slow
def test_what_is_accepted_twice_says_both_reasons(own):
    place, _ = own
    edit(place, *REFACTORED)
    accept(place, "first")
    first = json.loads(accepted(place))
    edit(place, REFACTORED[0], REFACTORED[2], "act_group_aware=bool([])")
    assert "accepted before: first" in said(house.snakemake(place, "accept"))
    accept(place, "second")
    records = [json.loads((place / path).read_text()) for path in accepted_weights(place, "none")]
    (second,) = [each for each in records if each["accepted"]["reason"] == "second"]
    assert second["accepted"]["from"] == first["id"]
    assert second["accepted"]["before"] == first["accepted"]
    house.snakemake(place, "results/studies/small/measurements.nc")
    with xr.open_datatree(place / "results/studies/small/measurements.nc") as tree:
        told = set(tree["weights"].accepted.sel(quantization="gptq4").values.ravel())
    assert told == {"second; before: first"}
    assert "14 records taken back" in said(house.snakemake(place, "retract"))
    assert accepted_weights(place, "none") == [
        f"results/weights/tiny/none/none/gptq4/{first['id']}.json"
    ]


@pytest.mark.slow
def test_what_was_measured_on_accepted_weights_shows_it_and_is_named_when_they_go(own):
    place, _ = own
    edit(place, *REFACTORED)
    accept(place, "same")
    cell = "energy/tiny/none/none/gptq4/here/transformers/questions/1"
    anew = [p for p in (place / "results" / cell).glob("*.json") if "accepted" in p.read_text()]
    anew[0].unlink()
    house.snakemake(place, "results/studies/small/measurements.nc")
    assert "accepted" not in anew[0].read_text()
    with xr.open_datatree(place / "results/studies/small/measurements.nc") as tree:
        one = {"pruning": "none", "quantization": "gptq4", "hardware": "here", "session": 1}
        assert tree["energy"].accepted.sel(one).item() == ""
        kept = tree["weights"].accepted
        assert set(kept.sel(quantization="gptq4").values.ravel()) == {"same"}
        assert set(kept.sel(quantization="nf4").values.ravel()) == {""}
    taken_back = said(house.snakemake(place, "retract"))
    assert "made on weights that were taken back" in taken_back
    assert taken_back.count(f"    {anew[0].relative_to(place)}") == 1


@pytest.mark.slow
def test_results_of_other_ready_made_weights_are_not_offered(own):
    """What a ready-made quantization takes its weights from is in the weights' own spec alone."""
    place, data = own

    def of(folder):
        entry = {"method": "prequantized", "models": {"tiny": {"path": folder}}}
        study(lambda s: s["quantization"].update(ready=entry))(place, data)

    data["quantization"].pop("gptq4")
    data["pruning"].pop("half")
    of("config/model")
    house.snakemake(place, "results/studies/small/measurements.nc")
    of("config/second-model")
    assert {job for job in house.planned(place) if job[1]}
    assert "nothing to accept" in said(house.snakemake(place, "accept"))
    # nor those of a model that is another now
    of("config/model")
    study(lambda s: s["model"]["tiny"].update(path="config/second-model"))(place, data)
    assert "nothing to accept" in said(house.snakemake(place, "accept"))


def test_damaged_records_are_left_out_by_name(own):
    place, _ = own
    edit(place, *REFACTORED)
    cells = place / "results/energy/tiny/none/none/gptq4/here/transformers/questions"
    damages = [{"device": None}, {"started": 5}, {"elapsed_s": "long"}, {"accepted": None}]
    paths = [*cells.rglob("*.json"), *(cells.parents[2] / "there").rglob("*.json")]
    for path, damage in zip(paths, damages, strict=True):
        path.write_text(json.dumps({**json.loads(path.read_text()), **damage}))
    listed = said(house.snakemake(place, "accept"))
    for path in paths:
        assert f"{path.relative_to(place)}: damaged, left out" in listed
    assert "Traceback" not in listed
    assert "in all 10 records" in listed


@pytest.mark.slow
def test_the_study_is_the_one_that_the_command_line_gives(own):
    """All configfiles merged, and --config over them."""
    place, data = own
    edit(place, *REFACTORED)
    assert "nothing to accept" in said(
        house.snakemake(place, "accept", "--config", "protocol={seed: 1}")
    )
    without_studies(place)
    gptq = {"quantization": {"gptq4": data["quantization"].pop("gptq4")}}
    house.write_study(place, data)
    (place / "config/more.yaml").write_text(yaml.safe_dump(gptq))
    both = ("--configfile", "config/study.yaml", "config/more.yaml")
    listed = said(house.snakemake(place, "accept", *both, "--config", "carbon={zones: {DEU: {}}}"))
    assert "in all 14 records" in listed
    edit(place, REFACTORED[0], REFACTORED[2], REFACTORED[1])
    assert "0 results that no study names" in said(house.snakemake(place, "unused", *both))
    assert "16 results that no study names" in said(house.snakemake(place, "unused"))
    gptq4 = json.dumps(gptq["quantization"])
    done = house.snakemake(place, "unused", "--config", f"quantization={gptq4}")
    assert "0 results that no study names" in said(done)
    # the command that is printed takes over what was listed, as it is
    (command,) = re.findall("if they stay valid: (.*)", listed)
    assert command.startswith("snakemake accept --configfile config/study.yaml config/more.yaml")
    edit(place, *REFACTORED)
    taken = ran(place, command)
    assert "taken over: the reason" in taken
    (command,) = re.findall("to take it back: (.*)", taken)
    assert "14 records taken back" in ran(place, command)


def test_a_part_of_a_study_need_not_be_one_by_itself(own):
    place, data = own
    without_studies(place)
    half = {key: data.pop(key) for key in ("quantization", "workload")}
    house.write_study(place, data)
    (place / "config/more.yaml").write_text(yaml.safe_dump(half))
    both = ("--configfile", "config/study.yaml", "config/more.yaml")
    assert "0 results that no study names" in said(house.snakemake(place, "unused", *both))


@pytest.mark.slow
def test_weights_of_which_files_are_gone_are_made_again_when_they_are_needed(own):
    place, _ = own
    made = house.record(place, "weights/tiny/none/none/gptq4").with_suffix("")
    (made / "config.json").unlink()
    pruned_weights = house.record(place, "pruned/tiny/none/half").with_suffix("")
    (pruned_weights / "config.json").unlink()
    assert house.planned(place) == set()
    house.record(place, "energy/tiny/none/none/gptq4/here/transformers/questions/1").unlink()
    house.record(place, "energy/tiny/none/half/gptq4/here/transformers/questions/1").unlink()
    both = energy(GPTQ, ("here",), sessions=(1,))
    expected = both | weights({"none/gptq4"})
    assert {job for job in house.planned(place) if job[1]} == expected, "what is pruned is not used"
    assert {job for job in house.wanted(place) if job[1]} == expected
    house.snakemake(place, "results/studies/small/measurements.nc")
    assert is_whole(made)


@pytest.mark.parametrize(
    ("options", "provided"),
    [
        ((), f"Provided cores: {available_cpu_count()}"),
        (("--profile", "profiles/local"), f"Provided cores: {available_cpu_count()}"),
        (("--cores", "1"), "Provided cores: 1 "),
        (("--jobs", "1"), "Provided cores: 1 "),
        (
            (
                "--profile",
                "profiles/slurm",
                "--config",
                "site=config/sites/test.yaml",
                # 40 unless told otherwise
                "--slurm-init-seconds-before-status-checks",
                "1",
            ),
            "Provided remote nodes: 200",
        ),
    ],
)
@pytest.mark.slow
def test_cores_are_those_of_the_machine_unless_said_otherwise(own, options, provided):
    done = house.snakemake(own[0], "unused", *options)
    assert provided in said(done)
    assert said(done).count("Provided ") == 1


@pytest.mark.slow
def test_what_computes_something_else_is_not_offered(own):
    place, data = own
    study(lambda s: s["quantization"]["gptq4"].update(bits=3))(place, data)
    assert "nothing to accept" in said(house.snakemake(place, "accept"))


@pytest.mark.slow
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
    listed = said(house.snakemake(place, "accept"))
    assert re.search(r"bitsandbytes \d+\.\d+\.\d+ → 99\.0", listed)
    assert "8 energy, 4 quality could be kept" in listed


@pytest.mark.slow
def test_results_that_no_study_names_are_listed_with_a_command_that_deletes_them(own):
    place, data = own
    for path in (place / "config/studies").glob("*.yaml"):
        path.unlink()
    (place / "config/config.yaml").unlink()
    assert "0 results that no study names" in said(house.snakemake(place, "unused"))
    study(lambda s: s["quantization"].pop("gptq4"))(place, data)
    listed = said(house.snakemake(place, "unused"))
    count = len(weights(GPTQ)) * 2 + len(energy(GPTQ)) + len(quality(GPTQ))
    assert f"{count} results that no study names" in listed
    assert "xargs -d '\\n' rm -r < results/unused.txt" in listed
    lines = (place / "results/unused.txt").read_text().splitlines()
    assert len(lines) == count
    assert "before you delete" not in listed
    (place / "results/studies/of-a-colleague").mkdir()
    assert "of-a-colleague in results/studies is of no study here" in said(
        house.snakemake(place, "unused")
    )
    assert all("/gptq4/" in line and (place / line).exists() for line in lines)
    # a study that still names them keeps them
    other = {**data, "study": "other", "quantization": {**own[1]["quantization"]}}
    other["quantization"]["gptq4"] = {
        "method": "gptq",
        "bits": 4,
        "calibration": {"text": "config/texts/calibration.txt"},
    }
    (place / "config/other.yaml").write_text(yaml.safe_dump(other))
    assert "0 results that no study names" in said(house.snakemake(place, "unused"))
    # one that cannot be read might name anything
    (place / "config/broken.yaml").write_text("study: x\nmodel: 3\n")
    done = house.snakemake(place, "unused", check=False)
    assert done.returncode == 1
    assert "broken.yaml" in said(done)


@pytest.mark.slow
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
