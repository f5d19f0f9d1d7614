"""How merging and analysis grow with the cells of a study: `make benchmark`. Nothing is asserted.

Studies of 100, 1,000 and 10,000 cells with three sessions each, in places of 100 cells, and once
more with all cells in one place; 1,000 draws behind every probability. Each in a process of its
own, so that the peak memory is its own; ratios are against ten times fewer cells.
"""

import gc
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.run import large_study, record
from joulegrid.analysis import carbon, comparison, dataset, decision, ranked, reading
from joulegrid.study import shelf, study
from joulegrid.study.shelf import Shelf, jobs_of
from joulegrid.study.specs import Specs

# cells -> models, machines and workloads of 100 configurations each
SIZES = {100: (1, 1, 1), 1000: (10, 1, 1), 10_000: (10, 2, 5)}
SESSIONS = 3
ZONES = {
    zone: {"intensity_g_per_kwh": grams, "source": "benchmark", "year": 2024, "basis": "direct"}
    for zone, grams in (("A", 50.0), ("B", 400.0))
}
STEPS = ("merge", "analysis", "analysis, one place")


def sized(cells: int) -> dict:
    """The large study of the other benchmarks, cut to so many cells."""
    data = large_study("tests/data/model")
    for axis, count in zip(("model", "hardware", "workload"), SIZES[cells], strict=True):
        data[axis] = dict(list(data[axis].items())[:count])
    return data | {"protocol": {"sessions": SESSIONS}}


def main() -> None:
    """A line per step and size."""
    before: dict[str, float] = {}
    for cells in SIZES:
        command = [sys.executable, __file__, str(cells)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        found = json.loads(done.stdout)
        for step in (*STEPS, "memory"):
            now, unit = found[step], "MB" if step == "memory" else "s"
            ratio = f", {now / before[step]:.1f}× that of a tenth" if step in before else ""
            print(f"growth: {step}, {cells:,} cells: {now:.2f} {unit}{ratio}", flush=True)
        before = found


def measure(cells: int, folder: Path) -> dict[str, float]:
    """Seconds of each step, and the peak memory of this process in MB."""
    made = study.from_data(sized(cells), "benchmark")
    shelf.ROOT = reading.ROOT = folder  # the records lie there, and the code where it is
    drawn = random.Random(0)
    for job in jobs_of(Specs(made)):
        found = record(job)
        factor = drawn.uniform(0.9, 1.1)
        for window in found["windows"]:
            window["energy_j"] = {k: v * factor for k, v in window["energy_j"].items()}
        path = folder / f"results/{job.path}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(found))
    gc.collect()
    specs, took = Specs(made), {}
    began = time.perf_counter()
    gc.disable()  # as the script does
    tree, missing = dataset.merge(specs, Shelf(own=jobs_of(specs)))
    gc.enable()
    took["merge"] = time.perf_counter() - began
    assert not missing, missing[:3]
    one = {axis: made.labels(axis)[0] for axis in ("model", "hardware", "engine", "workload")}
    baselines = {"analysis": {}, "analysis, one place": one}
    for step, more in baselines.items():
        began = time.perf_counter()
        chosen = made.data["ranking"]
        ranking = comparison.compare(tree, {**chosen, "baseline": {**chosen["baseline"], **more}})
        carbon.account(tree, ZONES, dict.fromkeys(made.labels("hardware"), 1.0))
        ranked.table(tree, ranking)
        took[step] = time.perf_counter() - began
        assert ranking.best_probability.notnull().all(), f"{decision.DRAWS} draws were not made"
    return {**took, "memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}


if __name__ == "__main__":
    if len(sys.argv) > 1:
        with tempfile.TemporaryDirectory() as temporary:
            print(json.dumps(measure(int(sys.argv[1]), Path(temporary))))
    else:
        main()
