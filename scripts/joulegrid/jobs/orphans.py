"""No process that a job started outlives it, also where the job is killed and can end nothing.

A process of its own looks every second whether the job is still there, and remembers what the job
has started; when the job is gone, it kills those. It runs this file by itself, and takes about a
millisecond each time.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Timer

INTERVAL_S = 1.0
PROC = Path("/proc")
# Python's own, which cleans up after the others and then ends
SPARED = b"resource_tracker"


def end_with_me() -> None:
    """From now on, all descendants of this process end when it does."""
    subprocess.Popen(
        [sys.executable, "-IS", __file__, str(os.getpid())],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        # a signal to the job's group shall not end it
        start_new_session=True,
    )


@contextmanager
def ended_after(seconds: float) -> Iterator[Callable[[], bool]]:
    """Kill what was started within the block, and is below this process, when it takes longer than
    that; yields whether it did.
    """
    before = set(descendants(os.getpid()))
    killed: list[int] = []

    def kill() -> None:
        for pid in descendants(os.getpid()):
            if pid not in before and SPARED not in command(pid):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                    killed.append(pid)

    timer = Timer(seconds, kill)
    timer.daemon = True
    timer.start()
    try:
        yield lambda: bool(killed)
    finally:
        timer.cancel()


def watch(job: int) -> None:
    """Kill the descendants of `job`, this process's parent, when it has ended."""
    known: set[tuple[int, str]] = set()
    while os.getppid() == job:
        known |= {(pid, started(pid)) for pid in descendants(job)}
        time.sleep(INTERVAL_S)
    for pid, when in known:
        if pid != os.getpid() and started(pid) == when and SPARED not in command(pid):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def descendants(pid: int) -> list[int]:
    """Children of a process, their children, and so on."""
    found = []
    for path in PROC.glob(f"{pid}/task/*/children"):
        try:
            children = [int(child) for child in path.read_text().split()]
        except OSError:  # the thread has ended
            continue
        for child in children:
            found += [child, *descendants(child)]
    return found


def started(pid: int) -> str:
    """When a process started, in clock ticks after the machine did; "" where it has ended.

    A number is given to another process some time after.
    """
    try:
        return (PROC / f"{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except OSError:
        return ""


def command(pid: int) -> bytes:
    """The command line of a process."""
    try:
        return (PROC / f"{pid}/cmdline").read_bytes()
    except OSError:
        return b""


if __name__ == "__main__":
    watch(int(sys.argv[1]))
