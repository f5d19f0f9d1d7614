"""The tiny model, and running an entry script as a job does."""

import json
import os
import subprocess
import sys

import pytest

import tiny_model
from conftest import ROOT
from joulegrid.models.describe import describe


@pytest.fixture(scope="session")
def tiny(tmp_path_factory):
    return tiny_model.make(tmp_path_factory.mktemp("tiny"))


@pytest.fixture
def tiny_record(tiny, tmp_path):
    """A model record of the tiny model, as fetch_model writes it."""
    path = tmp_path / "model.json"
    path.write_text(
        json.dumps({"schema_version": 1, "status": "ok", "weights": os.path.relpath(tiny, ROOT), **describe(tiny)})
    )
    return path


@pytest.fixture
def script(tmp_path):
    """A function that runs an entry script and gives (exit code, its output, the record it wrote or None)."""

    def run(name, spec, **paths):
        output = tmp_path / f"{name}.json"
        options = [part for key, value in paths.items() for part in (f"--{key.replace('_', '-')}", str(value))]
        command = [sys.executable, f"scripts/{name}.py", "--spec", json.dumps(spec), "--output", str(output), *options]
        done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
        record = json.loads(output.read_text()) if output.exists() else None
        return done.returncode, done.stdout + done.stderr, record

    return run
