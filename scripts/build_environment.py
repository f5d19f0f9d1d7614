"""Build an environment of the compute jobs from its lock: build_environment.py envs/llm."""

import os
import subprocess
import sys
from pathlib import Path

from joulegrid.errors import InputError
from joulegrid.records import ROOT, Spec, provenance, read_json, write_json
from joulegrid.study.packages import environment

EXPLANATIONS = {
    "needs to be updated": "uv.lock does not match pyproject.toml: run `uv lock --project {0}` and "
    "commit the lock",
    "doesn't have a source distribution or wheel for the current platform": "a locked package has "
    "no build for this platform (the locks are for Linux on x86-64 and aarch64)",
    "error sending request": "the package index cannot be reached: build the environment once on "
    "a machine with internet that shares this file system",
    "No space left on device": "the disk is full: the environment takes about 7 GB",
}


def build(folder: str) -> None:
    """Run uv on the environment's folder, then write down in .venv/joulegrid.json what was built.

    Raises
    ------
    InputError
        saying in plain words why a package cannot be had.
    """
    spec = environment(folder)
    record, python = ROOT / folder / ".venv/joulegrid.json", ROOT / folder / ".venv/bin/python"
    if python.exists() and _built(record) == spec:
        return
    print(
        f"building {folder} from its lock; the first time this downloads some gigabytes", flush=True
    )
    # Compiled once here, or every job of a read-only or PYTHONDONTWRITEBYTECODE node spends seconds
    # on it
    options = [
        "--locked",
        "--compile-bytecode",
        "--project",
        str(ROOT / folder),
        "--python",
        sys._base_executable,
    ]
    # Inside another activated environment uv would warn about a VIRTUAL_ENV that is not its own
    variables = {key: value for key, value in os.environ.items() if key != "VIRTUAL_ENV"}
    command = [sys.executable, "-m", "uv", "sync", "--quiet", *options]
    done = subprocess.run(command, stderr=subprocess.PIPE, text=True, env=variables, check=False)
    if done.returncode:
        known = [text for part, text in EXPLANATIONS.items() if part in done.stderr]
        reason = known[0].format(folder) if known else "uv says why above"
        raise InputError(f"{done.stderr}\n{folder}: the environment could not be built: {reason}")
    write_json(record, {**provenance(("uv",)), "spec": spec, "interpreter": str(python)})


def _built(record: Path) -> Spec | None:
    """What was built last; None where that is not known."""
    try:
        return read_json(record)["spec"]
    except InputError:
        return None


if __name__ == "__main__":
    try:
        build(sys.argv[1])
    except InputError as error:
        sys.exit(f"error: {error}")
    except IndexError:
        sys.exit("usage: build_environment.py envs/NAME")
