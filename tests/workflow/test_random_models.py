"""A study of models of random weights, from its file to its report."""

import subprocess
import sys

import pandas as pd
import pytest
import xarray as xr

from helpers import house
from joulegrid.analysis.variables import NOT_MEANINGFUL


@pytest.mark.slow
def test_a_study_of_random_models_is_whole_and_says_that_quality_is_not_meaningful(own):
    """A trained and a random model side by side, as when a model cannot be fetched yet."""
    place, data = own
    data["model"]["drawn"] = {"random": "mini-llama", "seed": 3}
    for axis, label in (("quantization", "gptq4"), ("pruning", "half"), ("hardware", "there")):
        del data[axis][label]
    house.write_study(place, data)
    made = house.wanted(place)
    assert {("fetch_model", "models/drawn"), ("measure_energy", "energy/drawn/")} <= {
        (script, path[: len("energy/drawn/")]) for script, path in made
    }
    house.snakemake(place, "--cores", "2")
    folder = place / "results/studies/small"
    with xr.open_datatree(folder / "study.nc") as tree:
        quality = tree["quality"].to_dataset().load()
        energy = tree["energy"].energy.load()
        samples = tree["samples/text"].total.load()
    drawn, trained = (quality.sel(model=label) for label in ("drawn", "tiny"))
    assert energy.model_random.to_series().to_dict() == {"drawn": 1, "tiny": 0}
    assert drawn.quality.isnull().all()
    assert set(drawn.reason.values.ravel()) == {NOT_MEANINGFUL}
    assert trained.quality.notnull().all()
    assert (quality.status == 0).all()
    assert energy.notnull().sel(component="cpu").all()
    assert samples.sel(model="drawn").isnull().all()
    ranking = pd.read_csv(folder / "ranking.csv").set_index("model")
    assert set(ranking.loc["drawn", "note"]) == {NOT_MEANINGFUL}
    assert ranking.loc["drawn", ["score", "quality", "text.perplexity"]].isna().all(axis=None)
    assert ranking.loc["drawn", "efficiency"].notna().all()
    assert ranking.loc["tiny", "rank"].notna().all()
    assert NOT_MEANINGFUL in (folder / "report.html").read_text()
    script = [sys.executable, "scripts/show_answer.py", str(folder)]
    said = subprocess.run(script, cwd=place, capture_output=True, text=True, check=True).stdout
    assert f"No answer yet: {NOT_MEANINGFUL}." in " ".join(said.split())
