"""A copy of the project in which a study is complete, made without computing: for tests of what
would run again.

Snakemake, the rules, the specs and the analysis are the real ones. The compute jobs are played by a
stand-in that writes records with plausible numbers: these tests are about jobs, not about joules.
"""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from functools import cache
from pathlib import Path

import yaml

from helpers import warm

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
HELPERS = ROOT / "tests/helpers"
STAND_IN = HELPERS / "stand_in.py"
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
        python.write_text(f'#!/bin/sh\nexec "{sys.executable}" -S "{STAND_IN}" "$@"\n')
        python.chmod(0o755)
    build = house / "scripts/build_environment.py"
    build.write_text("")


def write_study(house: Path, data: dict) -> None:
    """The study that the other functions run."""
    (house / "config/study.yaml").write_text(
        yaml.safe_dump(data, sort_keys=False), encoding="utf-8"
    )


# What runs of Snakemake and of scripts share until the tests end
_running = ExitStack()


@cache
def started() -> tuple[str, str]:
    """The address of a process that has imported what Snakemake and the steps of a study import,
    which takes longer than most of what they do here; and an interpreter that runs the scripts of a
    house in forks of it.
    """
    address = _running.enter_context(warm.warmed(sys.executable, *warm.OF_STEPS))
    folder = _running.enter_context(tempfile.TemporaryDirectory())
    python = Path(folder, "python")
    fork = shlex.join([sys.executable, "-S", warm.__file__, address])
    python.write_text(
        f'#!/bin/sh\ncase "$1" in scripts/*.py) exec {fork} "$@";; esac\n'
        f'exec {shlex.quote(sys.executable)} "$@"\n'
    )
    python.chmod(0o755)
    return address, str(python)


def close() -> None:
    """End what `started` began."""
    _running.close()
    started.cache_clear()


def run(house: Path, *command: str | Path) -> subprocess.CompletedProcess:
    """Run a Python script in the house, in a fork; its output and errors as text."""
    address, _ = started()
    words = list(map(str, command))
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        code = warm.ask(address, words, out.fileno(), err.fileno(), folder=house)
        for stream in (out, err):
            stream.seek(0)
        return subprocess.CompletedProcess(words, code, out.read(), err.read())


def said_by(house: Path, script: Path, *options: str) -> str:
    """What a script says that has to succeed."""
    done = run(house, script, *options)
    if done.returncode:
        raise AssertionError(done.stderr[-6000:])
    return done.stdout


def snakemake(house: Path, *options: str, check: bool = True) -> subprocess.CompletedProcess:
    """Run snakemake in the house; targets come first in `options`. The study is config/study.yaml
    if they name none.
    """
    targets = [option for option in options[:1] if not option.startswith("-")]
    rest = options[len(targets) :]
    study = [] if "--configfile" in rest else ["--configfile", "config/study.yaml"]
    _, python = started()
    done = run(house, HELPERS / "run_snakemake.py", python, *targets, *study, *rest)
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
    missing, steps = json.loads(said_by(house, HELPERS / "wanted.py"))
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
