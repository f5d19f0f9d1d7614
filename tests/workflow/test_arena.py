"""A judge's task from the study to the dataset, and what a change of it asks anew."""

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
