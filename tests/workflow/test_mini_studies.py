"""A study of `make studies`, whole: the quickest of them, as it is run there."""

import re
import subprocess
import sys

import pandas as pd
import pytest

from helpers import house

NAME = "dosquet2025"


@pytest.mark.slow
def test_a_mini_study_runs_from_its_files_to_its_answer(of_llm, tmp_path):
    place = house.copy_project(tmp_path / "house")
    of_llm(place, "transformers.models.mistral.modeling_mistral")
    done = subprocess.run(
        [sys.executable, "scripts/run_mini_studies.py", NAME],
        cwd=place,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-6000:]
    folder = place / f"results/studies/{NAME}-mini"
    ranking = pd.read_csv(folder / "ranking.csv")
    assert set(ranking["status"]) == {"ok"}
    assert set(zip(ranking["quantization"], ranking["hardware"], strict=True)) == {
        ("full", "setup-1"),
        ("full", "setup-2"),
        ("gptq4", "setup-1"),
    }
    assert (ranking["energy_per_token"] > 0).all()
    assert "against training none, pruning none, quantization full, hardware setup-1" in done.stdout
    assert re.search(r"^so far [\d.]+ k?J estimated; about .* still", done.stderr, re.MULTILINE)
    assert f"{NAME}: " in done.stdout.splitlines()[-1]
    again = ("--configfile", f"config/studies/{NAME}.yaml", "--config", "scale=mini")
    assert house.planned(place, *again) == set()
    assert len(house.planned(place, *again[:2])) > len(ranking), "the study itself is another one"


def test_a_mini_study_that_is_none_is_named():
    done = subprocess.run(
        [sys.executable, "scripts/run_mini_studies.py", "dosquet"],
        cwd=house.ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "error: no mini study 'dosquet'" in done.stderr
    assert "did you mean 'dosquet2025'?" in done.stderr
