"""A fixed piece of work: how fast was the machine before a session?

Neither model nor study changes it, so that a drift over the sessions is the machine's.
"""

import subprocess
import sys
import time
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from joulegrid.jobs.run import say

SCRIPTS = Path(__file__).parents[2]

# Together about half a second on two cores of a server
SIZE, REPETITIONS = 1024, 20
# 22 TFLOP
GPU_SIZE, GPU_REPETITIONS = 8192, 20


def reference_seconds() -> float:
    """Wall time in s of multiplying the same matrices again and again, on the CPUs of this job.

    The fastest of three goes: what is asked is what the machine can do.
    """
    matrix = np.random.default_rng(0).standard_normal((SIZE, SIZE), dtype=np.float32)
    return min(_once(matrix) for _ in range(3))


def _once(matrix: np.ndarray) -> float:
    began, product = time.perf_counter(), matrix
    for _ in range(REPETITIONS):
        product = np.matmul(matrix, product)
        product /= np.abs(product).max()
    return time.perf_counter() - began


def gpu_reference_seconds() -> list[float]:
    """The same on every GPU of this job, in 16 bit, in a process of its own: nothing of it stays in
    the memory of the boards, and an engine that computes in processes of its own meets no CUDA that
    is in use already. [] where the engine brings no PyTorch, or it fails, which the log says.
    """
    if find_spec("torch") is None:
        return []
    command = [sys.executable, "-m", __name__]
    done = subprocess.run(command, cwd=SCRIPTS, capture_output=True, text=True, check=False)
    if done.returncode:
        say(f"no reference work on GPUs: {(done.stderr.strip() or '?').splitlines()[-1]}")
        return []
    return [float(line) for line in done.stdout.split()]


def main() -> None:
    """Print the seconds of each GPU."""
    torch: Any = import_module("torch")
    for number in range(torch.cuda.device_count()):
        print(_on_gpu(torch, f"cuda:{number}"))


def _on_gpu(torch: Any, device: str) -> float:
    generator = torch.Generator(device).manual_seed(0)
    shape = (GPU_SIZE, GPU_SIZE)
    matrix = torch.randn(shape, generator=generator, device=device, dtype=torch.float16)
    times = []
    for _ in range(4):  # the first one also sets up the library
        torch.cuda.synchronize(device)
        began = time.perf_counter()
        for _ in range(GPU_REPETITIONS):
            torch.matmul(matrix, matrix)
        torch.cuda.synchronize(device)
        times.append(time.perf_counter() - began)
    return min(times[1:])


if __name__ == "__main__":
    main()
