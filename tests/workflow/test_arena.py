"""A judge's task from the study to the dataset, and what a change of it asks anew."""

import subprocess
import sys

import pytest
import xarray as xr

from helpers import house
from workflow.test_answers import SAF

ARENA = {
    "method": "arena",
    "answers": "saf",
    "baseline": {"quantization": "fp32"},
    "judge": {"model": "umpire", "endpoint": "http://127.0.0.1:1/v1"},
}


@pytest.mark.slow
def test_answers_are_judged_against_the_baseline_s_and_ranked(own):
    place, data = own
    data["quality"] = {"saf": SAF, "arena": ARENA}
    data["ranking"]["metrics"] = ["arena"]
    house.write_study(place, data)
    planned = house.planned(place)
    judged = {labels for script, labels in planned if script == "judge_answers"}
    assert len(judged) == 5, "six configurations, one of which is the baseline"
    assert "judgments/tiny/none/none/fp32/arena" not in judged
    house.snakemake(place, "--cores", "4")
    with xr.open_datatree(place / "results/studies/small/study.nc") as tree:
        found = tree["quality"].to_dataset().squeeze().sel(pruning="none")
        rate = found.quality.sel(metric="arena.win_rate")
        # the stand-in calls the baseline much better where it is first, better where it is second
        assert rate.sel(quantization="nf4") == 0
        assert rate.sel(quantization="fp32") == 50
        notes = str(found.notes.sel(metric="arena.win_rate", quantization="nf4").values)
        assert notes.startswith("3 of 4 questions judged in both orders")
        ranking = tree["ranking"].to_dataset().squeeze().sel(pruning="none", hardware="here")
        assert ranking.quality.sel(quantization="nf4") == -1
    assert house.wanted(place) == set()
    # where it is asked decides nothing; another judge is asked everything, about the same answers
    data["quality"]["arena"] = {**ARENA, "judge": {**ARENA["judge"], "endpoint": "http://other/v1"}}
    house.write_study(place, data)
    assert {script for script, _ in house.wanted(place)} <= set(house.CONCLUSIONS)
    data["quality"]["arena"] = {**ARENA, "judge": {**ARENA["judge"], "model": "referee"}}
    house.write_study(place, data)
    asked = {labels for script, labels in house.wanted(place) if script not in house.CONCLUSIONS}
    assert asked == judged
    page = (place / "results/studies/small/report.html").read_text()
    assert "arena.win_rate" in page


GUIDED = {
    **SAF,
    "template": "{guide} {question}",
    "guide": {"answers": "saf", "quantization": "fp32"},
}


@pytest.mark.slow
def test_what_a_guide_and_a_judge_took_stands_beside_and_in_no_energy_of_a_cell(own):
    place, data = own
    elsewhere = {**ARENA["judge"], "endpoint": "http://judge.example/v1"}
    data["quality"] = {
        "saf": SAF,
        "guided": GUIDED,
        "arena": {**ARENA, "answers": "guided", "against": "saf"},
        "far": {**ARENA, "judge": elsewhere},
    }
    data["pruning"] = {"none": {"method": "none"}}
    data["ranking"]["metrics"] = ["far"]
    house.write_study(place, data)
    house.snakemake(place, "--cores", "4")
    with xr.open_datatree(place / "results/studies/small/study.nc") as tree:
        tree.load()
        nf4 = {"quantization": "nf4"}
        answering = tree["answering"].to_dataset().squeeze()
        guided = answering.sel(**nf4, task="guided")
        # the stand-in's answers and replies take 9 J each time
        assert guided.energy.sum() == guided.guide_energy.sum() == 9
        assert guided.tokens_read == 150
        assert (guided.guide_answers, guided.guide_tokens_written) == (3, 15)
        assert guided.guide == answering.id.sel(task="saf", quantization="fp32")
        plain = answering.sel(**nf4, task="saf")
        assert plain.guide_energy.isnull().all()
        assert plain.tokens_read == 30
        judging = tree["judging"].to_dataset().squeeze()
        assert judging.energy.sum("component").sel(task="arena").values.tolist() == [9, 9, 9]
        assert judging.metered.sel(task="arena").values.tolist() == [6, 6, 6]
        # fp32 is the baseline where the answers are to the same prompts
        assert judging.energy.sel(task="far").isnull().all()
        assert judging.metered.sel(**nf4, task="far") == 0
        cost = tree["cost"].to_dataset()
        assert cost.energy.sel(kind="judgments") == 27
        assert cost.energy.sel(kind="texts") == 6 * 9
        assert (tree["energy"].energy.sel(component="ram") < 9).all()
    command = [sys.executable, "scripts/show_answer.py", "results/studies/small"]
    said = subprocess.run(command, cwd=place, capture_output=True, text=True, check=True).stdout
    said = " ".join(said.split())
    assert "arena: 18 replies of umpire. It computed on this machine, which took 27 J " in said
    assert "(estimated) in 6 s for them, 1.5 J each" in said
    assert "far: 12 replies of umpire. What energy they took is not known." in said
    assert "With the answers swapped it names the same winner, or both times none, for 100%" in said
    assert "for 100% of the questions. Of its winners 50% stood first." in said
    rate = "win rate 0.0, 95 % interval 0.0 to 0.0; both orders agree on 100%"
    assert f"far, nf4: 3 of 4 questions judged in both orders; {rate}" in said
    page = (place / "results/studies/small/report.html").read_text(encoding="utf-8")
    assert 'class="judge">arena: 18 replies of umpire.' in page
    row = r'<td>nf4</td><td>guided</td><td class="n">3</td><td class="n">50.0</td>'
    assert f'{row}<td class="n">5.0</td><td class="n">3</td><td class="n">3</td>' in page
