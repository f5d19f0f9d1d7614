"""A fixed piece of work: how fast was the machine before a session?

Neither model nor study changes it, so that a drift over the sessions is the machine's.
"""

import sys
import time
from typing import Any

import numpy as np

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
    """The same on every GPU of this job, in 16 bit; [] where the engine brought no PyTorch.

    Nothing of it is left in the peak memory of the session, which is the engine's.
    """
    torch: Any = sys.modules.get("torch")
    if torch is None:
        return []
    devices = [f"cuda:{number}" for number in range(torch.cuda.device_count())]
    seconds = [_on_gpu(torch, device) for device in devices]
    torch.cuda.empty_cache()
    for device in devices:
        torch.cuda.reset_peak_memory_stats(device)
    return seconds


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
