"""Freeze the prompts, or the rows, that a YAML file chooses out of a data set: freeze_prompts.py
CHOICE.yaml.

They are written to a JSONL file in results/prompts/ or results/rows/, with a record of where they
come from beside it. A study names the YAML file, or a copy of the JSONL file.
"""

import argparse
import json
import shutil
import subprocess
import sys
from pathlib import Path

import build_environment
from joulegrid.errors import InputError
from joulegrid.jobs import run
from joulegrid.records import ROOT, Spec, read_json
from joulegrid.study import frozen
from joulegrid.study.methods import LLM


def main() -> None:
    """See the options."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("choice", help="a YAML file, see docs/prompts.md and docs/training.md")
    parser.add_argument("--to", type=Path, help="a .jsonl file of your own to copy them to")
    arguments = parser.parse_args()
    name, own = arguments.choice, arguments.to
    if own is not None and own.suffix != ".jsonl":
        raise InputError(f"{own}: expected the name of a .jsonl file")
    kind = frozen.kind_of(name)
    target = ROOT / frozen.place(name, kind)
    if target.exists():
        print("frozen already; to choose again, delete it")
    else:
        fetch(frozen.spec_of(name, kind), target)
    record = read_json(target.with_suffix(".json"))
    if own is not None:
        own.parent.mkdir(parents=True, exist_ok=True)
        for path in (target, target.with_suffix(".json")):
            shutil.copyfile(path, own.with_suffix(path.suffix))
    print(f"{target.relative_to(ROOT)}: {record['count']} {kind}, SHA-256 {record['sha256']}")
    print(f"{record['suitable']} of {record['rows']} rows are suitable")
    uses = {
        frozen.PROMPTS: "a workload of a study:\n  prompts",
        frozen.ROWS: "the data of a training:\n  file",
    }
    print(f"for {uses[kind]}: {own or name}")


def fetch(spec: Spec, target: Path) -> None:
    """Choose in the environment that has the hub's library."""
    build_environment.build(LLM)
    script = [str(ROOT / LLM / ".venv/bin/python"), str(ROOT / "scripts/fetch_prompts.py")]
    told = ["--spec", json.dumps(spec), "--prompts", str(target)]
    record = str(target.with_suffix(".json"))
    if subprocess.run([*script, *told, "--output", record], cwd=ROOT, check=False).returncode:
        sys.exit(1)


if __name__ == "__main__":
    run.command(main)
