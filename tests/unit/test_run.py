"""What every entry script does around its work."""

import json
import signal
import subprocess
import sys

from helpers import house

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
        job.send_signal(signal.SIGTERM)
        said = job.stderr.read()
    assert job.returncode == 1
    assert said == ("error: ended by SIGTERM: nothing of this job is kept; run snakemake again\n")
