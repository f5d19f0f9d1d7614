"""Speed on the login node, as ratios: `make benchmark`. Nothing is asserted here.

planning   a dry-run of a 10,000-cell study against a bare Snakefile with the same jobs and outputs,
           with nothing made yet and with everything there
merging    10,000 cells into one dataset, and against xarray.concat over one dataset per record
start-up   of each login-node script, against Python alone
"""

import gc
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import xarray as xr

from helpers import house
from helpers.timing import took
from joulegrid.analysis import dataset, reading, storage
from joulegrid.records import ROOT
from joulegrid.study import shelf, study
from joulegrid.study.conclusions import conclusions
from joulegrid.study.shelf import MARKERS, Shelf, jobs_of
from joulegrid.study.specs import Specs

LOGIN_SCRIPTS = (
    "merge_measurements",
    "analyse_study",
    "draw_figures",
    "write_report",
    "accept_records",
    "list_unused",
    "combine_studies",
)
GROUPS = (16, 32, 64, 128, 256, 512, 1024)


def large_study(model: str) -> dict:
    """10 models × 10 prunings × 10 quantizations × 2 hardware × 5 workloads: 10,000 cells."""
    calibration = {"text": "config/texts/calibration.txt"}
    gptq = [(bits, size) for bits in (4, 3) for size in GROUPS][:9]
    return {
        "study": "large",
        "model": {f"m{i}": {"path": model} for i in range(10)},
        "pruning": {f"p{i}": {"method": "magnitude", "ratio": i / 20} for i in range(10)},
        "quantization": {
            "fp32": {"method": "cast", "dtype": "float32"},
            **{
                f"g{bits}-{size}": {
                    "method": "gptq",
                    "bits": bits,
                    "group_size": size,
                    "calibration": calibration,
                }
                for bits, size in gptq
            },
        },
        "hardware": {
            "a30": {"device": "cuda", "gpu": "A30"},
            "a100": {"device": "cuda", "gpu": "A100"},
        },
        "engine": {"transformers": {"method": "transformers"}},
        "workload": {
            f"w{i}": {
                "method": "batch",
                "prompts": "config/prompts/questions.jsonl",
                "new_tokens": 10 + i,
            }
            for i in range(5)
        },
        "protocol": {"sessions": 1},
        "quality": {"text": {"method": "perplexity", "text": "config/texts/evaluation.txt"}},
        "ranking": {"baseline": {"pruning": "p0", "quantization": "fp32"}},
    }


# The same jobs with the same inputs and outputs, read from a list, and nothing else
BARE = """
import json
JOBS = json.load(open("jobs.json"))
INPUT = {job["record"]: job["input"] for job in JOBS}
def source(pattern):
    return lambda w: ancient(INPUT[pattern.format_map(w)])
rule all:
    input: "out/report"
rule models:
    output: "results/models/{m}/{i}.json", "results/models/{m}/{i}/config.json"
    shell: "touch {output}"
rule pruned:
    input: source("results/pruned/{m}/{t}/{p}/{i}.json")
    output: "results/pruned/{m}/{t}/{p}/{i}.json", "results/pruned/{m}/{t}/{p}/{i}/made.json"
    shell: "touch {output}"
rule weights:
    input: source("results/weights/{m}/{t}/{p}/{q}/{i}.json")
    output:
        "results/weights/{m}/{t}/{p}/{q}/{i}.json",
        "results/weights/{m}/{t}/{p}/{q}/{i}/made.json",
    shell: "touch {output}"
rule energy:
    input: source("results/energy/{m}/{t}/{p}/{q}/{h}/{e}/{w}/{s}/{i}.json")
    output: "results/energy/{m}/{t}/{p}/{q}/{h}/{e}/{w}/{s}/{i}.json"
    params: x=lambda w: w.i
    shell: "touch {output}"
rule quality:
    input: source("results/quality/{m}/{t}/{p}/{q}/{k}/{i}.json")
    output: "results/quality/{m}/{t}/{p}/{q}/{k}/{i}.json"
    params: x=lambda w: w.i
    shell: "touch {output}"
rule merge:
    input: [job["record"] for job in JOBS]
    output: "out/merged"
    shell: "touch {output}"
rule analyse:
    input: "out/merged"
    output: "out/study"
    shell: "touch {output}"
rule draw:
    input: "out/study"
    output: "out/charts"
    shell: "touch {output}"
rule report:
    input: "out/study", "out/charts"
    output: "out/report"
    shell: "touch {output}"
"""


def seconds(work, repeats: int = 3) -> float:
    """The median wall time of `work()`."""
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return statistics.median(times)


def planning(folder: Path) -> None:
    """Dry-runs of both, in turns, so that a busy moment of the machine falls on both."""
    ours, bare = folder / "study", folder / "bare"
    house.copy_project(ours)
    house.write_study(ours, large_study("config/model"))
    made = study.from_data(large_study("tests/data/model"), "benchmark")
    jobs = list(jobs_of(Specs(made)))
    bare.mkdir()
    (bare / "Snakefile").write_text(BARE)
    listed = [{"record": f"results/{job.path}.json", "input": input_of(job)} for job in jobs]
    (bare / "jobs.json").write_text(json.dumps(listed))
    compare("planning, nothing made", ours, bare)
    for place in (ours, bare):
        finish(place, jobs)
    steps = conclusions(made, jobs)
    done = [f"results/studies/large/{step.stamp}" for step in steps.values()]
    names = ("study.nc", "ranking.csv", "carbon.csv", "report.html")
    done += [f"results/studies/large/{name}" for name in names]
    for place, paths in (
        (ours, done),
        (bare, [f"out/{n}" for n in ("merged", "study", "charts", "report")]),
    ):
        for path in paths:
            (place / path).parent.mkdir(parents=True, exist_ok=True)
            (place / path).write_text("")
    compare("planning, all there", ours, bare)


def input_of(job) -> list[str]:
    """The file that tells that a job's weights are there."""
    return [f"results/{job.source.path}/{MARKERS[job.source.kind]}"] if job.source else []


def finish(place: Path, jobs: list) -> None:
    """Empty files where all results would be."""
    for job in jobs:
        path = place / f"results/{job.path}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")
        if job.kind in MARKERS:
            folder = path.with_suffix("")
            folder.mkdir(exist_ok=True)
            (folder / MARKERS[job.kind]).write_text("")


def compare(what: str, ours: Path, bare: Path) -> None:
    """Time and peak memory of a dry-run of both."""
    found = {"ours": [], "bare": []}
    for _ in range(3):
        found["ours"].append(took(ours, "--dry-run", "--configfile", "config/study.yaml"))
        found["bare"].append(took(bare, "--dry-run"))
    (jobs, mine, memory), (others, theirs, their_memory) = (
        (
            rows[0].jobs,
            statistics.median(row.seconds for row in rows),
            statistics.median(row.peak_mib for row in rows),
        )
        for rows in found.values()
    )
    print(
        f"{what}: {jobs} jobs {mine:.1f} s, {memory:.0f} MB; bare Snakefile {others} jobs "
        f"{theirs:.1f} s, {their_memory:.0f} MB: {mine / theirs:.2f}× the time, "
        f"{memory / their_memory:.2f}× the memory",
        flush=True,
    )


def merging(folder: Path) -> None:
    """Merge 10,000 records, and the same by xarray.concat."""
    found = study.from_data(large_study("tests/data/model"), "benchmark")
    specs = Specs(found)
    jobs = list(jobs_of(specs))
    shelf.ROOT = reading.ROOT = folder  # the records lie there, and the code where it is
    paths = []
    for job in jobs:
        path = folder / f"results/{job.path}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(record(job)))
        paths += [path] if job.kind == "energy" else []

    def ours():
        gc.disable()  # as the script does
        fresh = Specs(found)
        wanted = list(jobs_of(fresh))
        tree, missing = dataset.merge(fresh, Shelf(own=wanted))
        assert not missing, missing[:3]
        storage.write(tree, folder / "study.nc")
        gc.enable()

    fast = seconds(ours)
    print(f"merging: {len(jobs)} records {fast:.2f} s", flush=True)
    whole = seconds(lambda: concat(paths, folder / "slow.nc"), 1)
    print(
        f"merging: xarray.concat over {len(paths)} datasets {whole:.1f} s: {whole / fast:.0f}× ours"
    )
    shelf.ROOT = reading.ROOT = ROOT


def record(job) -> dict:
    """A record of a job with all that the merge reads."""
    how = {"basis": "measured", "method": "benchmark"}
    joules = {"cpu": 1.0, "gpu": 2.0, "ram": 3.0}
    window = {
        "seconds": 2.0,
        "energy_j": joules,
        "codecarbon_j": joules,
        "foreign_cpu": 0.01,
        "neighbours_cpu": None,
        "runs": 1,
        "requests": 2,
        "tokens_read": 10,
        "tokens_written": 8,
    }
    return {
        "schema_version": 2,
        "status": "ok",
        "id": job.id,
        "spec": job.spec,
        "host": "benchmark",
        "components": dict.fromkeys(("cpu", "gpu", "ram"), how),
        "device": {"cpu": "CPU", "gpus": [{"name": "GPU", "memory_bytes": 24e9, "uuid": "GPU-1"}]},
        "windows": [window] * 3,
        "points": [
            {
                "prompt_tokens": None,
                "new_tokens": 4,
                "at_once": None,
                "status": "ok",
                "lengths": {"tokens_read": [5] * 16, "tokens_written": [4] * 16},
            }
        ],
        "started": "2026-01-01T00:00:00+00:00",
        "reference_s": 0.5,
        "warnings": [],
        "idle": {key: {"power_w": joules} for key in ("before", "loaded", "end")},
        "loading": {"seconds": 1.0, "energy_j": joules},
        "memory_bytes": {"ram": 1000, "gpu": 1000},
        "weights_bytes": 500,
        "kernels": {"Linear": 210},
        "settings": {"attention": "sdpa"},
        "metrics": {"perplexity": {"value": 20.0, "stderr": None, "higher_is_better": False}},
        "parameters": 1000,
        "bytes": 1000,
    }


def concat(paths: list[Path], path: Path) -> None:
    """One dataset per record with the variables of ours, joined along a cell dimension: what one
    would write first.
    """
    parts = []
    for source in paths:
        found = json.loads(source.read_text())
        windows, device = found["windows"], found["device"]
        energy = [sum(window["energy_j"][c] for window in windows) for c in ("cpu", "gpu", "ram")]
        part = xr.Dataset(
            {
                "status": ((), 0),
                "basis": ("component", [0, 0, 0]),
                "energy": ("component", energy),
                "duration": ((), sum(window["seconds"] for window in windows)),
                "windows": ((), len(windows)),
                "runs": ((), sum(window["runs"] for window in windows)),
                "tokens_read": ((), sum(window["tokens_read"] for window in windows)),
                "tokens_written": ((), sum(window["tokens_written"] for window in windows)),
                "idle_power": ("component", list(found["idle"]["loaded"]["power_w"].values())),
                "loading_energy": ("component", list(found["loading"]["energy_j"].values())),
                "loading_time": ((), found["loading"]["seconds"]),
                "peak_memory": ((), found["memory_bytes"]["ram"]),
                "peak_gpu_memory": ((), found["memory_bytes"]["gpu"]),
                "weights_size": ((), found["weights_bytes"]),
                "gpu": ((), device["gpus"][0]["name"]),
            },
            coords={"component": ["cpu", "gpu", "ram"]},
        )
        parts.append(part.expand_dims(cell=[str(source)]))
    xr.concat(parts, "cell").to_netcdf(path)


def start_up() -> None:
    """How long each login-node script takes to say its options."""

    def run(*arguments):
        return seconds(
            lambda: subprocess.run([sys.executable, *arguments], capture_output=True, check=True), 5
        )

    alone = run("-c", "pass")
    for name in LOGIN_SCRIPTS:
        time_s = run(str(ROOT / "scripts" / f"{name}.py"), "--help")
        print(
            f"start-up: {name} {time_s:.2f} s: {time_s / alone:.0f}× Python alone ({alone:.3f} s)"
        )


if __name__ == "__main__":
    start_up()
    temporary = Path(tempfile.mkdtemp())
    try:
        planning(temporary)
        merging(temporary)
    finally:
        shutil.rmtree(temporary)
