"""No process that a job started outlives it, also where the job is killed and can end nothing.

Every process that is started from then on inherits a mark in its environment, which nobody else
knows; one that only forks does not show it. A process of its own looks every second, more often at
first, whether the job is still there; when it is gone, it kills what bears the mark and what had
been seen below the job, until nothing is left. It runs this file by itself, and takes about a
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
from threading import Event, Thread

INTERVAL_S = 1.0
# Processes are started while an engine loads, when nothing is measured finely
AT_FIRST_S, QUICK_S = 60.0, 0.1
SETTLE_S = 0.02
PROC = Path("/proc")
MARK = "JOULEGRID_ENDS_WITH"
# Python's own, which cleans up after the others and then ends
SPARED = b"resource_tracker"


def end_with_me() -> None:
    """From now on, all descendants of this process end when it does."""
    os.environ[MARK] = os.urandom(16).hex()
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
    that, and what is started from then on too: the block may not have come to what it waits for.
    Yields whether it did.
    """
    before = set(descendants(os.getpid()))
    killed: list[int] = []
    left = Event()

    def kill() -> None:
        wait_s = seconds
        while not left.wait(wait_s):
            killed.extend(n for n in descendants(os.getpid()) if n not in before and end(n))
            wait_s = INTERVAL_S

    thread = Thread(target=kill, daemon=True)
    thread.start()
    try:
        yield lambda: bool(killed)
    finally:
        left.set()
        thread.join()


def watch(job: int) -> None:
    """Kill the descendants of `job`, this process's parent, when it has ended."""
    known: set[tuple[int, str]] = set()
    began = time.monotonic()
    while os.getppid() == job:
        known |= {(pid, started(pid)) for pid in descendants(job)}
        time.sleep(QUICK_S if time.monotonic() - began < AT_FIRST_S else INTERVAL_S)
    # what is killed cannot start more, but may have done so since it was found
    while left := {pid for pid, when in known if started(pid) == when} | marked():
        below = {child for pid in left for child in descendants(pid)}
        known |= {(pid, started(pid)) for pid in left | below}
        ended = [pid for pid in left | below if end(pid)]
        if not ended:
            break
        time.sleep(SETTLE_S)


def end(pid: int) -> bool:
    """Kill a process that is neither this one, nor spared, nor dead; whether it was."""
    if pid == os.getpid() or SPARED in command(pid) or not command(pid):
        return False
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
        return True
    return False


def marked() -> set[int]:
    """Processes of this user that bear the mark of this process."""
    mark, found = f"{MARK}={os.environ[MARK]}".encode(), set()
    for path in PROC.glob("[0-9]*/environ"):
        with suppress(OSError):  # it has ended, or is another user's
            if mark in path.read_bytes().split(b"\0"):
                found.add(int(path.parent.name))
    return found


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
