"""A copy of the project in which a study is complete, made without computing: for tests of what
would run again.

Snakemake, the rules, the specs and the analysis are the real ones. The compute jobs are played by a
stand-in that writes records with plausible numbers: these tests are about jobs, not about joules.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
PARTS = (
    "Snakefile",
    "rules",
    "scripts",
    "config",
    "envs",
    "profiles",
    "docs",
    "slurm",
    "pyproject.toml",
    "uv.lock",
)
STAND_IN = Path(__file__).with_name("stand_in.py")
MODEL = ROOT / "tests/data/model"
# The least workload that runs
TWO_PROMPTS = {
    "method": "batch",
    "prompts": "config/prompts/questions.jsonl",
    "count": 2,
    "new_tokens": 4,
    "chat": False,
}
# The least quality
SHORT_TEXT = {
    "method": "perplexity",
    "text": "config/texts/evaluation.txt",
    "window": 64,
    "stride": 32,
    "tokens": 128,
}
JOB = re.compile(r"scripts/(\w+)\.py --spec .*? --output (?:results/)?(\S+)")
TARGETS = re.compile(r"scripts/(accept_records|list_unused)\.py ")
CONCLUSIONS = {
    "select_trained",
    "merge_measurements",
    "analyse_study",
    "draw_figures",
    "write_report",
}
# Lists what a dry-run would want, by the same functions as the rules, without starting Snakemake
WANTED = """
import json, sys
sys.path.insert(0, "scripts")
from joulegrid.errors import InputError
from joulegrid.planning import infeasible
from joulegrid.study import conclusions, sites, study
from joulegrid.study.shelf import Shelf, jobs_of, sent
from joulegrid.study.specs import Specs
import os
try:
    found = study.load(["config/study.yaml"])
    specs = Specs(found)
    unfit = infeasible.of_study(specs)
    every = list(jobs_of(specs))
    jobs = sent(every, unfit)
    shelf = Shelf(sites.load(found.data.get("site"), found).artifacts, every)
    folder = f"results/studies/{found.name}/"
    steps = conclusions.conclusions(found, jobs, unfit)
    missing = shelf.missing(jobs)
    there = lambda step: os.path.exists(folder + step.stamp)
    late = [name for name, step in steps.items() if missing or not there(step)]
    print(json.dumps([[job.path for job in shelf.to_make(jobs)], late]))
except InputError as error:
    sys.exit(f"error: {error}")
"""
STEP_RULES = {
    "merge": "merge_measurements",
    "analyse": "analyse_study",
    "draw": "draw_figures",
    "report": "write_report",
}


def copy_project(to: Path) -> Path:
    """The project's files, without results and environments."""
    to.mkdir(parents=True)
    for part in PARTS:
        source = ROOT / part
        if source.is_symlink():
            (to / part).symlink_to(os.readlink(source))
        elif source.is_dir():
            shutil.copytree(
                source, to / part, ignore=shutil.ignore_patterns(".venv", "__pycache__")
            )
        else:
            shutil.copy2(source, to / part)
    shutil.copytree(MODEL, to / "config/model")
    return to


def put_stand_in(house: Path) -> None:
    """Interpreters of the compute environments that play their scripts, and a build that finds them
    there.
    """
    for environment in ("llm", "llamacpp", "vllm-cpu", "judge"):
        python = house / "envs" / environment / ".venv/bin/python"
        python.parent.mkdir(parents=True)
        python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{STAND_IN}" "$@"\n')
        python.chmod(0o755)
    build = house / "scripts/build_environment.py"
    build.write_text("")


def write_study(house: Path, data: dict) -> None:
    """The study that the other functions run."""
    (house / "config/study.yaml").write_text(
        yaml.safe_dump(data, sort_keys=False), encoding="utf-8"
    )


def snakemake(house: Path, *options: str, check: bool = True) -> subprocess.CompletedProcess:
    """Run snakemake in the house; targets come first in `options`. The study is config/study.yaml
    if they name none.
    """
    targets = [option for option in options[:1] if not option.startswith("-")]
    rest = options[len(targets) :]
    study = [] if "--configfile" in rest else ["--configfile", "config/study.yaml"]
    command = [sys.executable, "-m", "snakemake", *targets, *study, *rest]
    done = subprocess.run(command, cwd=house, capture_output=True, text=True, check=False)
    if check and done.returncode:
        raise AssertionError(f"{' '.join(options)}:\n{done.stdout[-6000:]}\n{done.stderr[-6000:]}")
    return done


def planned(house: Path, *options: str) -> set[tuple[str, str]]:
    """(script, its record below results/ without its id) of every job that a dry-run wants."""
    targets = [option for option in options[:1] if not option.startswith("-")]
    done = snakemake(house, *targets, "--dry-run", "--printshellcmds", *options[len(targets) :])
    jobs = {
        (script, _without_id(output)) for script, output in JOB.findall(done.stdout + done.stderr)
    }
    total = re.search(r"^total +(\d+)", done.stdout + done.stderr, re.MULTILINE)
    steps = {
        (script, "")
        for script in CONCLUSIONS
        if f"scripts/{script}.py --spec" in done.stdout + done.stderr
    }
    found = {job for job in jobs if job[0] not in CONCLUSIONS} | steps
    count = int(total[1]) - (not targets) if total else 0
    assert len(found) == count, "every job but `all` has a command"
    return found


def wanted(house: Path) -> set[tuple[str, str]]:
    """The same as `planned`, asked of the functions that the rules ask, without Snakemake."""
    done = subprocess.run(
        [sys.executable, "-c", WANTED], cwd=house, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise AssertionError(done.stderr[-6000:])
    missing, steps = json.loads(done.stdout)
    script = {
        "models": "fetch_model",
        "training": "train_model",
        "trained": "merge_training",
        "pruned": "prune_weights",
        "weights": "quantize_weights",
        "energy": "measure_energy",
        "quality": "evaluate_quality",
        "texts": "generate_texts",
        "scores": "score_texts",
        "judgments": "judge_answers",
    }
    jobs = {(script[path.split("/")[0]], _without_id(path)) for path in missing}
    return jobs | {(STEP_RULES[step], "") for step in steps}


def _without_id(path: str) -> str:
    return re.sub(r"/[0-9a-f]{16}(\.json)?$", "", path)


def record(house: Path, path: str) -> Path:
    """The one record under these labels, such as energy/tiny/…/1."""
    (found,) = (house / "results" / path).glob("*.json")
    return found
