"""A task whose answers are generated once: its metrics in the dataset, and what a new one costs."""

import re

import pytest
import xarray as xr

from helpers import house, questions
from joulegrid.analysis.concluded import VERDICT

SAF = {**questions.SAF, "metrics": ["chrf"]}


@pytest.mark.slow
def test_a_new_metric_generates_nothing_and_all_of_them_are_ranked_with_intervals(own):
    place, data = own
    data["quality"] = {"saf": SAF}
    data["quantization"]["q8"] = {"method": "gguf", "type": "Q8_0"}
    data["engine"]["llamacpp"] = {"method": "llamacpp"}
    others = {"quantization": ["fp32", "nf4", "gptq4"]}
    data["grid"] = {
        "exclude": [
            {**others, "engine": "llamacpp"},
            {"quantization": "q8", "engine": "transformers"},
            {"quantization": "q8", "pruning": "half"},
            {"quantization": "q8", "hardware": "there"},
        ]
    }
    house.write_study(place, data)
    house.snakemake(place, "--cores", "4")
    with xr.open_datatree(place / "results/studies/small/study.nc") as tree:
        found = tree["quality"].to_dataset().sel(metric="saf.chrf", pruning="none").squeeze()
        place_of = {"pruning": "none", "hardware": "here", "engine": "transformers"}
        ranking = tree["ranking"].to_dataset().sel(place_of).squeeze()
        # lengths of the stand-in's answers: (1 + 2 + 4) / 3 times the bits; line 3 is left out
        assert found.quality.sel(quantization="fp32").item() == pytest.approx(32 * 7 / 3)
        assert ranking.quality.sel(quantization="nf4").item() == pytest.approx(4 / 32 - 1)
        # every answer is longer by the same share: nothing is uncertain about ρ
        assert ranking.quality_ci95.sel(quantization="nf4").item() == pytest.approx(0, abs=1e-12)
        assert (found.signature == "stand-in").all()
        notes = "of 4 questions 1 longer than the context and left out"
        assert (found.notes.sel(others) == notes).all()
        assert found.quality.sel(quantization="q8").item() == pytest.approx(8 * 7 / 3)
        assert found.notes.sel(quantization="q8").item() == f"answered by llamacpp; {notes}"
        changes = tree["changes"].to_dataset().sel(metric="saf.chrf", pruning="none").squeeze()
        # three answers of such different lengths tell nothing of their mean difference
        assert changes.verdict.sel(quantization="nf4").item() == VERDICT.index("same")
        assert changes.difference.sel(quantization="nf4").item() == pytest.approx(-28 * 7 / 3)
        weight = (
            tree["samples/saf"]
            .to_dataset()
            .weight.sel(pruning="none", quantization="fp32")
            .squeeze()
        )
        assert weight.values.tolist() == [1, 1, 0, 1]
        assert {"texts", "scores"} <= set(tree["cost"].kind.values)
    page = (place / "results/studies/small/report.html").read_text(encoding="utf-8")
    assert re.search(r'<th scope="row">saf\.chrf</th><td class="long">stand-in</td>', page)
    assert f"<li>half · nf4: {notes}</li>" in page
    data["quality"]["saf"] = {**SAF, "metrics": ["chrf", "rouge"]}
    house.write_study(place, data)
    wanted = {script for script, _ in house.planned(place)}
    assert wanted == {"score_texts", *house.CONCLUSIONS} - {"select_trained"}
    # of answers that are gone too, those alone and what is computed of them
    house.record(place, "texts/tiny/none/none/fp32/saf").unlink()
    texts = [labels for script, labels in house.planned(place) if script == "generate_texts"]
    assert texts == ["texts/tiny/none/none/fp32/saf"]
