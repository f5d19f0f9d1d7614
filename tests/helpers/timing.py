"""What a run of Snakemake takes."""

import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple


class Taken(NamedTuple):
    """Jobs; wall time and CPU time, user and system, in s; peak memory in MiB of the largest of its
    processes.
    """

    jobs: int
    seconds: float
    cpu_s: float
    peak_mib: float


def took(place: Path, *options: str) -> Taken:
    """Run Snakemake with these options in a folder."""
    command = [sys.executable, "-m", "snakemake", *options]
    began = time.perf_counter()
    with subprocess.Popen(
        command, cwd=place, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as run:
        text = run.stdout.read()
        _, code, usage = os.wait4(run.pid, 0)
        run.returncode = os.waitstatus_to_exitcode(code)
    seconds = time.perf_counter() - began
    if run.returncode:
        raise RuntimeError(text[-3000:])
    total = re.search(r"^total +(\d+)", text, re.MULTILINE)
    cpu_s, peak_mib = usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024
    return Taken(int(total[1]) if total else 0, seconds, cpu_s, peak_mib)
