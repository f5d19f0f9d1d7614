"""The tests on GPUs, where there is none: that they say so, and the table that they leave."""

import csv
import os
import subprocess
import sys

from conftest import ROOT
from helpers.gpu_table import Table


def test_where_there_is_no_gpu_the_kit_says_that_nothing_ran():
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/gpu"],
        cwd=ROOT,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "tests/gpu: " in done.stdout, done.stdout + done.stderr
    assert "NOT HERE" in done.stdout or "NO GPU" in done.stdout
    assert "Error" not in done.stdout + done.stderr


def test_the_table_has_all_that_was_found_so_far(tmp_path):
    table = Table(tmp_path)
    for number in range(2):
        table.add("idle", f"power {number}", 61.23456 + number, "W", "limit\n300 | W")
        with open(tmp_path / "table.tsv", encoding="utf-8", newline="") as stream:
            rows = list(csv.DictReader(stream, delimiter="\t"))
        assert len(rows) == number + 1
        assert rows[-1] | {"test": "idle", "value": f"{61.23 + number:.4g}"} == rows[-1]
        lines = (tmp_path / "table.md").read_text().splitlines()
        assert len(lines) == number + 3
        assert len({line.count("|") for line in lines}) == 1
