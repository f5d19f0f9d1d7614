"""Run the studies of config/studies at their mini scale, one after another, and print their
answers: run_mini_studies.py, or with names of some.

A judge on this machine that one of them asks is started by `make judge` where nothing answers
there.
"""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from joulegrid.errors import InputError
from joulegrid.jobs import run
from joulegrid.records import ROOT
from joulegrid.study import scale, study
from joulegrid.study.methods import ARENA
from joulegrid.study.study import Study
from joulegrid.study.validation import nearest

SCALE = "mini"
FOLDER = Path("config/studies")
LOOPBACK = ("127.0.0.1", "localhost", "::1")


def main() -> None:
    """All of them, or those named; the first that fails ends it."""
    there = {path.stem: FOLDER / path.name for path in sorted((FOLDER / SCALE).glob("*.yaml"))}
    for name in sys.argv[1:]:
        if name not in there:
            raise InputError(f"no mini study {name!r}; {nearest(name, there)}")
    names = sys.argv[1:] or list(there)
    took = {}
    for position, name in enumerate(names):
        began = time.monotonic()
        code = run_one(study.load([there[name]], {scale.KEY: SCALE}), there[name])
        if code:
            left = ", ".join(names[position + 1 :])
            raise InputError(
                f"{name} at its mini scale failed, see above; logs are in results/logs"
                + (f"; not run after it: {left}" if left else "")
            )
        took[name] = (time.monotonic() - began) / 60
    for name, minutes in took.items():
        print(f"{name}: {minutes:.1f} minutes")


def run_one(found: Study, path: Path) -> int:
    """Run a study, which ends with its answer; the exit status."""
    print(f"\n== {found.name}: {found.data['description']}\n", flush=True)
    command = [sys.executable, "-m", "snakemake", "--profile", "profiles/local"]
    command += ["--configfile", str(path), "--config", f"{scale.KEY}={SCALE}"]
    with judge_of(found):
        return subprocess.run(command, check=False).returncode


@contextmanager
def judge_of(found: Study) -> Iterator[None]:
    """See that a judge on this machine answers, as long as its study runs."""
    ports = {
        address.port or 80
        for task in found.data["quality"].values()
        if task["method"] == ARENA
        and (address := urlsplit(task["judge"]["endpoint"])).hostname in LOOPBACK
    }
    if all(map(answers, ports)):
        yield
        return
    command = ["make", "--silent", "judge"]
    started = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
    assert started.stdout is not None
    try:
        # it says its address when it has loaded its model
        if not any(line.rstrip().endswith("/v1") for line in started.stdout):
            raise InputError(f"the judge of {found.name} did not start, see above: make judge")
        yield
    finally:
        if started.poll() is None:
            os.killpg(started.pid, signal.SIGTERM)
        started.wait()


def answers(port: int) -> bool:
    """Whether something listens at a port of this machine."""
    with socket.socket() as client:
        return client.connect_ex((LOOPBACK[0], port)) == 0


if __name__ == "__main__":
    os.chdir(ROOT)
    run.command(main)
