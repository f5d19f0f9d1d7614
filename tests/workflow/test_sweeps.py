"""A sweep from the study file to its table: what a token costs that is read, and one that is
written.
"""

import pandas as pd
import pytest

from helpers import house
from joulegrid.analysis import storage


@pytest.mark.slow
def test_a_sweep_has_its_points_and_a_table_of_what_tokens_cost(own):
    place, data = own
    sweep = {"method": "lengths", "prompt_tokens": [10, 100], "new_tokens": [4, 8]}
    data["workload"] = {"sweep": sweep | {"prompts": house.TWO_PROMPTS["prompts"]}}
    data["pruning"] = {"none": {"method": "none"}}
    data["hardware"] = {"here": data["hardware"]["here"]}
    data["quantization"] = {k: data["quantization"][k] for k in ("fp32", "nf4")}
    data.pop("grid", None)
    data.pop("site", None)
    house.write_study(place, data)
    house.snakemake(place, "--cores", "2")
    folder = place / "results/studies/small"
    tree = storage.read(folder / "study.nc")
    assert tree["points"].sizes["point"] == 4
    # in the stand-in 4 new tokens for each of two requests take the bits, the number of the session
    # and 1 J; 8 take twice that, and reading costs nothing
    whole = tree["energy"].energy.sel(quantization="nf4", session=2).sum("component").item()
    assert whole == 2 * (4 + 2 + 1) + 2 * 2 * (4 + 2 + 1)
    rows = pd.read_csv(folder / "tokens.csv").set_index("quantization")
    assert rows.points.tolist() == [4, 4]
    assert rows.per_output_token.tolist() == pytest.approx([34.5 / 8, 6.5 / 8])
    assert rows.per_input_token.tolist() == pytest.approx([0, 0], abs=1e-9)
    assert rows.per_output_token_ci95.tolist() == pytest.approx([12.706 * 0.5 / 8] * 2, rel=1e-3)
    assert "<caption>Energy of tokens that are read" in (folder / "report.html").read_text()
    done = house.snakemake(place, "partial", "--dry-run", "--printshellcmds")
    assert "--tokens results/studies/small/partial/tokens.csv &&" in done.stdout
