"""What a job started ends with it, also where it was started just before the job is killed."""

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from helpers import house
from joulegrid.jobs import orphans

# a child, or a child of a child, that is started a moment before the kill; the one sleeps under a
# name that tells it from all others
JOB = """
import os, signal, subprocess, sys, time
from joulegrid.jobs import orphans

orphans.end_with_me()
time.sleep(0.5)
subprocess.Popen(["bash", "-c", sys.argv[1]], start_new_session=True)
time.sleep(float(sys.argv[2]))
os.kill(os.getpid(), signal.SIGKILL)
"""
SECONDS = 900


def sleeping(name: str) -> list[int]:
    """Processes, shells not among them, whose command line ends with a name."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            if path.read_bytes().split(b"\0")[-2:-1] == [name.encode()]:
                found.append(int(path.parent.name))
    return found


@pytest.mark.parametrize("command", ["exec sleep {}", "sleep 0.02; sleep {} & wait"])
def test_what_is_started_just_before_a_job_is_killed_ends_with_it(command):
    name = f"{SECONDS}.{os.getpid()}"
    job = subprocess.run(
        [sys.executable, "-c", JOB, command.format(name), "0.15"],
        cwd=house.ROOT / "scripts",
        check=False,
    )
    assert job.returncode == -signal.SIGKILL
    until = time.monotonic() + 120
    while sleeping(name) and time.monotonic() < until:
        time.sleep(0.02)
    left = sleeping(name)
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    assert left == []


def test_what_a_block_starts_when_its_time_is_out_is_ended_too(monkeypatch):
    """One after the other: a single kill would hit the first one at most."""
    monkeypatch.setattr(orphans, "INTERVAL_S", 0.05)
    with orphans.ended_after(0.0) as were_ended:
        codes = [subprocess.run(["sleep", "120"], check=False).returncode for _ in range(3)]
    assert codes == [-signal.SIGKILL] * 3
    assert were_ended()
    done = subprocess.run(["sleep", "0.2"], check=False)
    assert done.returncode == 0, "nothing is ended when the block is left"
