"""What every entry script does around its work."""

import json
import subprocess
import sys

import pytest

from helpers import ending, house

SCRIPT = """
import time
from joulegrid.jobs import run

def main(arguments, spec):
    print("begun", flush=True)
    time.sleep(60)

run.run(main)
"""


def test_a_job_that_is_ended_before_it_measures_says_so():
    with subprocess.Popen(
        [sys.executable, "-c", SCRIPT, "--spec", json.dumps({})],
        cwd=house.ROOT / "scripts",
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as job:
        assert job.stdout.readline() == "begun\n"
        ending.terminate(job)
        said = job.stderr.read()
    assert job.returncode == 1
    assert said == ("error: ended by SIGTERM: nothing of this job is kept; run snakemake again\n")


ENDED = """
import os
import signal
from joulegrid.jobs import run

class Late:
    def __del__(self):  # while the interpreter ends
        for _ in range(100):
            os.kill(os.getpid(), signal.SIGTERM)

late = Late()

def main(arguments, spec):
    if spec:
        run.shelter()
    os.kill(os.getpid(), signal.SIGTERM)

run.run(main)
"""


@pytest.mark.parametrize("sheltered", [True, False])
def test_a_job_that_is_ended_while_it_ends_has_said_how_it_went(sheltered):
    """Else Snakemake would throw a finished record away."""
    spec = json.dumps({"sheltered": True} if sheltered else {})
    command = [sys.executable, "-c", ENDED, "--spec", spec]
    done = subprocess.run(
        command, cwd=house.ROOT / "scripts", capture_output=True, text=True, check=False
    )
    assert done.returncode == (0 if sheltered else 1)
    assert done.stderr.count("error: ended by SIGTERM") == (0 if sheltered else 1)
