"""A copy of the project in which a study is complete, made without computing: for tests of what would run again.

Snakemake, the rules, the specs and the analysis are the real ones. The compute jobs are played by a stand-in that
writes records with plausible numbers: these tests are about jobs, not about joules.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
PARTS = ("Snakefile", "rules", "scripts", "config", "envs", "profiles", "docs", "slurm", "pyproject.toml", "uv.lock")
STAND_IN = Path(__file__).with_name("stand_in.py")
JOB = re.compile(r"scripts/(\w+)\.py --spec (.*)")


def copy_project(to: Path) -> Path:
    """The project's files, without results and environments."""
    to.mkdir(parents=True)
    for part in PARTS:
        source = ROOT / part
        if source.is_symlink():
            (to / part).symlink_to(os.readlink(source))
        elif source.is_dir():
            shutil.copytree(source, to / part, ignore=shutil.ignore_patterns(".venv", "__pycache__"))
        else:
            shutil.copy2(source, to / part)
    return to


def put_stand_in(house: Path) -> None:
    """Interpreters of the compute environments that play their scripts, and a build that finds them there."""
    for environment in ("llm", "llamacpp"):
        python = house / "envs" / environment / ".venv/bin/python"
        python.parent.mkdir(parents=True)
        python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{STAND_IN}" "$@"\n')
        python.chmod(0o755)
    build = house / "scripts/build_environment.py"
    build.write_text("")


def write_study(house: Path, data: dict) -> None:
    (house / "config/study.yaml").write_text(yaml.safe_dump(data, sort_keys=False), encoding="utf-8")


def snakemake(house: Path, *options: str, check: bool = True) -> subprocess.CompletedProcess:
    """Run snakemake in the house on config/study.yaml."""
    command = [sys.executable, "-m", "snakemake", "--configfile", "config/study.yaml", *options]
    done = subprocess.run(command, cwd=house, capture_output=True, text=True, check=False)
    if check and done.returncode:
        raise AssertionError(f"{' '.join(options)}:\n{done.stdout[-6000:]}\n{done.stderr[-6000:]}")
    return done


def planned(house: Path, *options: str) -> set[tuple[str, str]]:
    """(script, its record below results/STUDY) of every job that a dry-run wants."""
    done = snakemake(house, "--dry-run", "--printshellcmds", *options)
    jobs = JOB.findall(done.stdout + done.stderr)
    total = re.search(r"^total +(\d+)", done.stdout + done.stderr, re.MULTILINE)
    assert len(jobs) == (int(total[1]) - 1 if total else 0), "every job but `all` has a command"
    outputs = [re.search(r" --output (?:results/[^/]+/)?(\S+)", options) for _, options in jobs]
    return {(script, found[1] if found else "") for (script, _), found in zip(jobs, outputs, strict=True)}
