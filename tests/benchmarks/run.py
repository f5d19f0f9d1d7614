"""Speed on the login node, as ratios: `make benchmark`. Nothing is asserted here.

planning   a dry-run of a 10,000-cell study against a bare Snakefile with the same jobs
merging    10,000 records into one dataset, and against xarray.concat over one dataset per record
start-up   of each login-node script, against Python alone
"""

import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import xarray as xr

import house
from joulegrid import dataset
from joulegrid.study.loading import from_data
from joulegrid.study.specs import Specs

ROOT = Path(__file__).resolve().parents[2]
LOGIN_SCRIPTS = ("refer_checkpoint", "merge_measurements", "analyse_study", "draw_figures", "write_report")


def large_study() -> dict:
    """10 models × 10 prunings × 10 quantizations × 2 hardware × 5 workloads: 10,000 cells."""
    calibration = {"text": "config/texts/calibration.txt"}
    return {
        "study": "large",
        "model": {f"m{i}": {"path": "config/schemas"} for i in range(10)},
        "pruning": {f"p{i}": {"method": "magnitude", "ratio": i / 20} for i in range(10)},
        "quantization": {
            "fp32": {"method": "cast", "dtype": "float32"},
            **{
                f"g{i}": {"method": "gptq", "bits": 4, "group_size": 32 * i, "calibration": calibration}
                for i in range(1, 10)
            },
        },
        "hardware": {"a30": {"device": "cuda", "gpu": "A30"}, "a100": {"device": "cuda", "gpu": "A100"}},
        "engine": {"transformers": {"method": "transformers"}},
        "workload": {f"w{i}": {"prompts": "config/prompts/questions.jsonl", "new_tokens": 10 + i} for i in range(5)},
        "quality": {"text": {"method": "perplexity", "text": "config/texts/evaluation.txt"}},
        "ranking": {"baseline": {"pruning": "p0", "quantization": "fp32"}},
    }


BARE = """
M, P, Q, C = range(10), range(10), range(10), range(10)
rule all:
    input: "out/report"
rule fetch:
    output: "out/model/{m}"
    params: x=lambda w: w.m
    shell: "touch {output}"
rule prune:
    input: "out/model/{m}"
    output: "out/pruned/{m}/{p}"
    params: x=lambda w: w.m
    shell: "touch {output}"
rule quantize:
    input: "out/pruned/{m}/{p}"
    output: "out/checkpoint/{m}/{p}/{q}"
    params: x=lambda w: w.m
    shell: "touch {output}"
rule measure:
    input: "out/checkpoint/{m}/{p}/{q}"
    output: "out/energy/{m}/{p}/{q}/{c}"
    params: x=lambda w: w.m
    shell: "touch {output}"
rule evaluate:
    input: "out/checkpoint/{m}/{p}/{q}"
    output: "out/quality/{m}/{p}/{q}"
    params: x=lambda w: w.m
    shell: "touch {output}"
rule merge:
    input: expand("out/energy/{m}/{p}/{q}/{c}", m=M, p=P, q=Q, c=C), expand("out/quality/{m}/{p}/{q}", m=M, p=P, q=Q)
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
    study, bare = folder / "study", folder / "bare"
    house.copy_project(study)
    house.write_study(study, large_study())
    bare.mkdir()
    (bare / "Snakefile").write_text(BARE)
    command = [sys.executable, "-m", "snakemake", "--dry-run"]
    jobs = {}

    def dry_run(place, *options):
        done = subprocess.run([*command, *options], cwd=place, capture_output=True, text=True, check=True)
        jobs[place.name] = next(
            line.split()[1] for line in (done.stdout + done.stderr).splitlines() if line.startswith("total")
        )

    # the two take turns, so that a busy moment of the machine falls on both
    pairs = [
        (seconds(lambda: dry_run(study, "--configfile", "config/study.yaml"), 1), seconds(lambda: dry_run(bare), 1))
        for _ in range(3)
    ]
    ours, theirs = (statistics.median(times) for times in zip(*pairs, strict=True))
    counts = f"{jobs['study']} jobs {ours:.1f} s, bare Snakefile {jobs['bare']} jobs {theirs:.1f} s"
    print(f"planning: {counts}: {ours / theirs:.2f}×", flush=True)


def merging(folder: Path) -> None:
    specs = Specs(from_data(large_study(), "benchmark"))
    results = folder / "results"
    for cell in specs.study.cells:
        path = results / "energy" / f"{cell.path}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(record(specs.energy(cell))))
    for configuration in specs.study.configurations:
        path = results / "quality" / configuration.path / "text.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        found = {"perplexity": {"value": 20.0, "stderr": None, "higher_is_better": False}}
        path.write_text(
            json.dumps(
                {"schema_version": 1, "status": "ok", "spec": specs.quality(configuration, "text"), "metrics": found}
            )
        )

    def ours():
        fresh = Specs(from_data(large_study(), "benchmark"))
        tree, missing = dataset.merge(fresh, results)
        assert not missing
        dataset.write(tree, folder / "study.nc")

    fast = seconds(ours)
    print(f"merging: {len(specs.study.cells)} records {fast:.2f} s", flush=True)
    subset = specs.study.cells[:1000]
    slow = seconds(lambda: concat(results, subset, folder / "slow.nc"), 1)
    small = seconds(lambda: read_only(results, subset), 1)
    print(f"merging: xarray.concat over {len(subset)} datasets {slow:.1f} s (reading them {small:.2f} s)", flush=True)
    whole = seconds(lambda: concat(results, specs.study.cells, folder / "slow.nc"), 1)
    print(f"merging: xarray.concat over {len(specs.study.cells)} datasets {whole:.1f} s: {whole / fast:.0f}× ours")


def record(spec: dict) -> dict:
    how = {"basis": "measured", "method": "benchmark"}
    runs = [
        {"seconds": 2.0, "energy_j": {"cpu": 1.0, "gpu": 2.0, "ram": 3.0}, "tokens_read": 10, "tokens_written": 8}
        for _ in range(spec["protocol"]["repeats"])
    ]
    return {
        "schema_version": 1,
        "status": "ok",
        "spec": spec,
        "components": dict.fromkeys(("cpu", "gpu", "ram"), how),
        "repeats": runs,
        "idle_power_w": {"cpu": 1.0, "gpu": 0.0, "ram": 1.0},
        "loading": {"seconds": 1.0, "energy_j": {"cpu": 1.0, "gpu": 0.0, "ram": 1.0}},
        "peak_memory_bytes": {"ram": 1000, "gpu": 1000},
        "weights_bytes": 500,
    }


def concat(results: Path, cells, path: Path) -> None:
    """One dataset per record with the variables of ours, joined along a cell dimension: what one would write first."""
    parts = []
    for cell in cells:
        found = json.loads((results / "energy" / f"{cell.path}.json").read_text())
        runs = found["repeats"]
        part = xr.Dataset(
            {
                "status": ((), 0),
                "basis": ("component", [0, 0, 0]),
                "energy": (("repeat", "component"), [list(run["energy_j"].values()) for run in runs]),
                "duration": ("repeat", [run["seconds"] for run in runs]),
                "tokens_read": ("repeat", [run["tokens_read"] for run in runs]),
                "tokens_written": ("repeat", [run["tokens_written"] for run in runs]),
                "idle_power": ("component", list(found["idle_power_w"].values())),
                "loading_energy": ("component", list(found["loading"]["energy_j"].values())),
                "loading_time": ((), found["loading"]["seconds"]),
                "peak_memory": ((), found["peak_memory_bytes"]["ram"]),
                "peak_gpu_memory": ((), found["peak_memory_bytes"]["gpu"]),
                "weights_size": ((), found["weights_bytes"]),
            },
            coords={"component": ["cpu", "gpu", "ram"]},
        )
        parts.append(part.expand_dims(cell=[cell.path]))
    xr.concat(parts, "cell").to_netcdf(path)


def read_only(results: Path, cells) -> None:
    for cell in cells:
        json.loads((results / "energy" / f"{cell.path}.json").read_text())


def start_up() -> None:
    def run(*arguments):
        return seconds(lambda: subprocess.run([sys.executable, *arguments], capture_output=True, check=True), 5)

    alone = run("-c", "pass")
    for name in LOGIN_SCRIPTS:
        time_s = run(str(ROOT / "scripts" / f"{name}.py"), "--help")
        print(f"start-up: {name} {time_s:.2f} s: {time_s / alone:.0f}× Python alone ({alone:.3f} s)")


if __name__ == "__main__":
    start_up()
    temporary = Path(tempfile.mkdtemp())
    try:
        planning(temporary)
        merging(temporary)
    finally:
        shutil.rmtree(temporary)
