"""How the plan and a dry-run grow with the cells of a study: `make benchmark`. Nothing is asserted.

1,000, 10,000 and 50,000 cells of which nothing is made yet, against a Snakefile with the same jobs
and outputs and nothing else. Seconds are CPU time, user and system, of the process and of those
that it starts: other work on the machine stretches them far less than wall time. Memory is the
peak of the largest of these processes. An argument, 1000, measures that size alone.
"""

import json
import sys
import tempfile
from pathlib import Path

from benchmarks.run import BARE, input_of, large_study
from helpers import house
from helpers.timing import took
from joulegrid.study import study
from joulegrid.study.shelf import jobs_of
from joulegrid.study.specs import Specs

# cells -> models, machines and workloads of 100 configurations each
SIZES = {1000: (10, 1, 1), 10_000: (10, 2, 5), 50_000: (50, 2, 5)}
ONLY = "only=model=m0"


def sized(cells: int) -> dict:
    """The large study of the other benchmarks, with as many models as it takes."""
    data = large_study("")
    models, machines, workloads = SIZES[cells]
    # of known sizes, so that the plan predicts them; nothing is fetched for a plan
    hub = "meta-llama/Llama-3.1-8B"
    data["model"] = {f"m{i}": {"hub": hub, "revision": f"{i:040x}"} for i in range(models)}
    for axis, count in (("hardware", machines), ("workload", workloads)):
        data[axis] = dict(list(data[axis].items())[:count])
    return data


def main() -> None:
    """A line per size and command, with how much more it is than of the size before."""
    sizes = [int(text) for text in sys.argv[1:]] or list(SIZES)
    before: dict[str, tuple[float, float]] = {}
    for cells in sizes:
        with tempfile.TemporaryDirectory() as temporary:
            for what, found in measured(cells, Path(temporary)).items():
                jobs, seconds, peak = found
                more = ""
                if what in before:
                    more = ", ".join(
                        f"{now / then:.1f}×"
                        for now, then in zip(found[1:], before[what], strict=True)
                    )
                    more = f" ({more} those of the size before)"
                print(
                    f"scale: {cells:,} cells, {what}: {jobs:,} jobs, {seconds:.1f} s of CPU, "
                    f"{peak:.0f} MiB{more}",
                    flush=True,
                )
                before[what] = seconds, peak


def measured(cells: int, folder: Path) -> dict[str, tuple[int, float, float]]:
    """Command -> jobs, CPU seconds, peak MiB."""
    ours, bare = folder / "study", folder / "bare"
    house.copy_project(ours)
    house.write_study(ours, sized(cells))
    jobs = list(jobs_of(Specs(study.from_data(sized(cells), "benchmark"))))
    bare.mkdir()
    (bare / "Snakefile").write_text(BARE)
    listed = [{"record": f"results/{job.path}.json", "input": input_of(job)} for job in jobs]
    (bare / "jobs.json").write_text(json.dumps(listed))
    own = ("--configfile", "config/study.yaml")
    found = {
        "plan": took(ours, "plan", *own)._replace(jobs=len(jobs)),
        "dry-run": took(ours, "--dry-run", *own),
        "dry-run of one model": took(ours, "--dry-run", *own, "--config", ONLY),
        "bare Snakefile, dry-run": took(bare, "--dry-run"),
    }
    return {what: (each.jobs, each.cpu_s, each.peak_mib) for what, each in found.items()}


if __name__ == "__main__":
    main()
