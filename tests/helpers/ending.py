"""How a cluster ends a job."""

import subprocess
import time


def terminate(job: subprocess.Popen) -> None:
    """Send SIGTERM again and again until the process is gone: who cancels often signals several
    times, and one may come while the interpreter ends.
    """
    while job.poll() is None:
        job.terminate()
        time.sleep(0.01)
