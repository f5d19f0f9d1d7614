"""Build an environment of the compute jobs from its lock."""

import os
import subprocess
import sys
from pathlib import Path

from joulegrid import jobs
from joulegrid.records import InputError, provenance, read_json, write_json

EXPLANATIONS = {
    "needs to be updated": "uv.lock does not match pyproject.toml: run `uv lock --project {0}` and commit the lock",
    "doesn't have a source distribution or wheel for the current platform": "a locked package has no build for this "
    "platform (the locks are for Linux on x86-64 and aarch64)",
    "error sending request": "the package index cannot be reached: build the environment once on a machine with "
    "internet that shares this file system",
    "No space left on device": "the disk is full: the environment takes about 7 GB",
}


def main(arguments, spec):
    """Run uv on the environment's folder, then write down that it is there; nothing to do where it is already."""
    output, python = Path(arguments.output), Path(arguments.environment, ".venv/bin/python")
    if output.exists() and python.exists() and read_json(output)["spec"] == spec:
        return
    jobs.say(f"building {arguments.environment} from its lock; this can take some minutes")
    # Compiled once here, or every job of a read-only or PYTHONDONTWRITEBYTECODE node spends seconds on it
    options = ["--locked", "--compile-bytecode", "--project", arguments.environment]
    command = [sys.executable, "-m", "uv", "sync", *options]
    # Inside another activated environment uv would warn about a VIRTUAL_ENV that is not its own
    environment = {key: value for key, value in os.environ.items() if key != "VIRTUAL_ENV"}
    made = provenance(("uv",))
    done = subprocess.run(command, stderr=subprocess.PIPE, text=True, env=environment, check=False)
    jobs.say(done.stderr)
    if done.returncode:
        known = [text for part, text in EXPLANATIONS.items() if part in done.stderr]
        reason = known[0].format(arguments.environment) if known else "uv says why above"
        raise InputError(f"{arguments.environment}: the environment could not be built: {reason}")
    write_json(arguments.output, {**made, "spec": spec, "interpreter": str(python)})


if __name__ == "__main__":
    jobs.run(main, "environment", "output")
