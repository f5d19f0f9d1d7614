"""The tiny model, and running an entry script as a job does."""

import json
import subprocess
import sys

import pytest

from conftest import ROOT
from helpers import tiny_model
from joulegrid.records import identity


@pytest.fixture(scope="session")
def tiny(tmp_path_factory):
    """A folder with a tiny random Llama and its tokenizer."""
    return tiny_model.make(tmp_path_factory.mktemp("tiny"))


@pytest.fixture
def script(tmp_path):
    """A function that runs an entry script and gives (exit code, its output, the record it wrote or
    None).
    """

    def run(name, spec, **paths):
        output = tmp_path / f"{identity(spec)}.json"
        output.unlink(missing_ok=True)
        options = [part for key, value in paths.items() for part in (f"--{key}", str(value))]
        command = [
            sys.executable,
            f"scripts/{name}.py",
            "--spec",
            json.dumps(spec),
            "--output",
            str(output),
            *options,
        ]
        done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
        record = json.loads(output.read_text()) if output.exists() else None
        return done.returncode, done.stdout + done.stderr, record

    return run
