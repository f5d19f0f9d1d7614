"""The tiny model, and running an entry script as a job does."""

import json
import subprocess
import sys
import tempfile

import pytest

from conftest import ROOT
from helpers import tiny_model, warm
from joulegrid.records import identity


@pytest.fixture(scope="session")
def tiny(tmp_path_factory):
    """A folder with a tiny random Llama and its tokenizer."""
    return tiny_model.make(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="session")
def warmed():
    """The address of a process that runs entry scripts in forks."""
    with warm.warmed(sys.executable, *warm.OF_LLM) as address:
        yield address


def running(start, tmp_path):
    """A function that runs an entry script and gives (exit code, its output, the record it wrote or
    None); `start` takes its command and a file for what it says, and gives the exit code.
    """

    def run(name, spec, **paths):
        output = tmp_path / f"{identity(spec)}.json"
        output.unlink(missing_ok=True)
        options = [part for key, value in paths.items() for part in (f"--{key}", str(value))]
        command = [f"scripts/{name}.py", "--spec", json.dumps(spec), "--output", str(output)]
        with tempfile.TemporaryFile("w+", encoding="utf-8") as said:
            code = start([*command, *options], said)
            said.seek(0)
            text = said.read()
        record = json.loads(output.read_text()) if output.exists() else None
        return code, text, record

    return run


@pytest.fixture
def script(warmed, tmp_path):
    """See `running`: in a fork, with the libraries there already."""

    def start(command, said):
        return warm.ask(warmed, command, said.fileno(), said.fileno(), folder=ROOT)

    return running(start, tmp_path)


@pytest.fixture
def cold_script(tmp_path):
    """See `running`: in a process of its own, for libraries that read the environment when they
    are imported.
    """

    def start(command, said):
        return subprocess.run(
            [sys.executable, *command], stdout=said, stderr=said, cwd=ROOT, check=False
        ).returncode

    return running(start, tmp_path)
