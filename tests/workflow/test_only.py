"""A part of a study: planned, shown and measured alike, here and by jobs on Slurm."""

import json
import os
import re
import shlex
import subprocess
import sys

import pytest
from snakemake.cli import parse_config

from helpers import house
from workflow.rerun_table import energy, quality, study, weights
from workflow.test_deadline import SBATCH, SLURM

ONLY = "only=quantization=nf4,gptq4 pruning=none hardware=here"
MADE = weights({"none/gptq4"}) | energy({"none/gptq4"}, ("here",)) | quality({"none/gptq4"})


def said(done):
    return done.stdout + done.stderr


@pytest.mark.slow
def test_a_part_is_planned_and_measured_and_concludes_nothing(own):
    place, data = own
    study(lambda s: s["quantization"]["gptq4"].update(bits=3))(place, data)
    concluded = {
        path: (path.stat().st_mtime_ns, path.read_bytes())
        for path in (place / "results/studies/small").rglob("*")
        if path.is_file()
    }
    whole = house.wanted(place)
    assert whole > MADE
    dry_run = house.planned(place, "--config", ONLY)
    assert dry_run == MADE
    plan = said(house.snakemake(place, "plan", "--config", ONLY))
    words = ONLY.removeprefix("only=")
    assert f"a part of the study, {words}: 2 of 12 cells" in plan
    written = json.loads((place / "results/studies/small/plan/plan.json").read_text())
    assert {path.rpartition("/")[0] for path in written["to_run"]} == {path for _, path in MADE}

    refused = house.snakemake(place, "partial", "--config", ONLY, check=False)
    assert refused.returncode == 1
    assert "only: a part is planned" in said(refused)
    by_file = ("results/studies/small/study.nc", "--dry-run", "--config", ONLY)
    assert "only: a part is planned" in said(house.snakemake(place, *by_file, check=False))
    wrong = house.snakemake(place, "--dry-run", "--config", "only=quantization=nf", check=False)
    assert wrong.returncode == 1
    assert re.search(
        r"^error: --config: only\.quantization: no quantization 'nf'; valid: fp32, nf4, gptq4; "
        r"did you mean 'nf4'\?$",
        said(wrong),
        re.MULTILINE,
    )
    assert "Traceback" not in said(wrong)

    done = said(house.snakemake(place, "--cores", "2", "--config", ONLY))
    assert f"The part {words} of the study small, 2 of 12 cells" in done
    again = said(house.snakemake(place, "--cores", "2", "--config", ONLY))
    for output in (done, again):
        assert "report: " not in output  # an answer that lies there is of the whole study
    # the rest is to be made as before, and what was concluded is as it was
    assert house.wanted(place) == whole - MADE
    for path, (changed, content) in concluded.items():
        assert (path.stat().st_mtime_ns, path.read_bytes()) == (changed, content), path


@pytest.mark.slow
def test_jobs_on_slurm_and_a_pilot_are_of_the_part(own, tmp_path):
    place, data = own
    study(lambda s: s["quantization"]["nf4"].update(type="fp4"))(place, data)
    commands, told = tmp_path / "bin", tmp_path / "told"
    commands.mkdir()
    for name in ("sbatch", "squeue", "sacct", "scancel", "sinfo", "sacctmgr", "scontrol"):
        (commands / name).write_text(SBATCH if name == "sbatch" else "#!/bin/sh\nexit 0\n")
        (commands / name).chmod(0o755)
    path = os.pathsep.join([str(commands), os.environ["PATH"]])
    command = [sys.executable, "-m", "snakemake", *SLURM, "--configfile", "config/study.yaml"]
    settings = ["site=config/sites/test.yaml", ONLY]
    subprocess.run(
        [*command, "--config", *settings],
        cwd=place,
        env={**os.environ, "PATH": path, "SBATCH_LOG": str(told)},
        capture_output=True,
        check=False,
    )
    # what every node is told means the same there
    jobs = []
    for line in told.read_text().splitlines():
        words = shlex.split(line.partition("--wrap=")[2])
        jobs.append(words[words.index("--target-jobs") + 1].rpartition(",id=")[0])
        found = parse_config(words[words.index("--config") + 1 :][:2])
        assert f"only={found['only']}" == ONLY
    cell = "model=tiny,training=none,pruning=none,quantization=nf4"
    place_of = "engine=transformers,workload=questions"
    assert sorted(jobs) == [
        *(f"evaluate_quality:{cell},task={task}" for task in ("facts", "text")),
        *(f"measure_energy_here:{cell},{place_of},session={n}" for n in (1, 2)),
    ]

    # a pilot takes --jobs for the plan behind it, and the part
    piloted = house.snakemake(
        place, "pilot", "--dry-run", "--printshellcmds", "--config", "jobs=8", ONLY
    )
    (script,) = re.findall(r"python scripts/plan_study\.py .*", said(piloted))
    words = shlex.split(script.partition(" 2>&1")[0])
    assert words[words.index("--jobs") + 1] == "8"
    assert words[words.index("--only") + 1] == ONLY.removeprefix("only=")
