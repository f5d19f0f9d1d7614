"""The report of large studies: bytes of the page, and seconds until Chromium shows its tables and
charts, for so many cells as are asked for (100, 1,000 and 10,000). Nothing is asserted here.

    PYTHONPATH=scripts:tests .venv/bin/python tests/benchmarks/page.py [CELLS …]
"""

import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import xarray as xr
from run import large_study, record

from joulegrid.analysis import carbon, comparison, dataset, metric_changes, published, reading
from joulegrid.records import ROOT
from joulegrid.report import figures, page
from joulegrid.study import shelf, study
from joulegrid.study.conclusions import conclusions
from joulegrid.study.shelf import Shelf, jobs_of
from joulegrid.study.specs import Specs

OPENING = ROOT / "tests/browser/opening.js"


def varied(job, random: np.random.Generator) -> dict:
    """A record with numbers of its own: equal ones would be packed to nothing."""
    found = record(job)
    factor = random.lognormal(0, 0.8)
    for window in found["windows"]:
        window["energy_j"] = {name: joules * factor for name, joules in window["energy_j"].items()}
        window["seconds"] *= random.lognormal(0, 0.5)
    found["metrics"]["perplexity"]["value"] += random.exponential(5)
    found["weights_bytes"] = int(random.integers(1e8, 1e10))
    return found


def measure(cells: int, folder: Path) -> None:
    """Make the page of so many cells, and open it."""
    data = large_study("tests/data/model")
    data["protocol"]["sessions"] = 3
    data["model"] = dict(list(data["model"].items())[: max(cells // 1000, 1)])
    data["pruning"] = dict(list(data["pruning"].items())[: 10 if cells >= 1000 else 1])
    made = study.from_data(data, "benchmark")
    jobs, random = list(jobs_of(Specs(made))), np.random.default_rng(0)
    shelf.ROOT = reading.ROOT = folder
    for job in jobs:
        path = folder / f"results/{job.path}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(varied(job, random)))
    tree, _ = dataset.merge(Specs(made), Shelf(own=jobs))
    shelf.ROOT = reading.ROOT = ROOT
    spec = conclusions(made, jobs)["analyse"].spec
    zones, _ = carbon.with_series(spec["zones"], ROOT)
    tree["ranking"] = xr.DataTree(comparison.compare(tree, spec["ranking"]))
    tree["changes"] = xr.DataTree(metric_changes.account(tree, spec["ranking"]["baseline"]))
    tree["carbon"] = xr.DataTree(carbon.account(tree, zones, spec["pue"]))
    tree["published"] = xr.DataTree(published.read())
    began = time.perf_counter()
    charts = {name: figures.fitted(c.to_dict()) for name, c in figures.draw(tree).items()}
    text = page.render(tree, charts, made.data)
    took = time.perf_counter() - began
    path = folder / "report.html"
    path.write_text(text)
    told = f"page, {cells} cells: {path.stat().st_size / 1e6:.2f} MB, made in {took:.1f} s"
    chromium = shutil.which("chromium")
    if chromium and (OPENING.parent / "node_modules").exists():
        command = ["node", OPENING, chromium, path]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        seconds = {name: ms / 1000 for name, ms in json.loads(done.stdout).items()}
        told += "; " + ", ".join(f"{name} {value:.2f} s" for name, value in seconds.items())
    print(told, flush=True)


if __name__ == "__main__":
    for number in map(int, sys.argv[1:] or (100, 1000, 10000)):
        with tempfile.TemporaryDirectory() as temporary:
            measure(number, Path(temporary))
