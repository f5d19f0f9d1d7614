"""A fixed piece of work: how fast was the machine before a session?

Neither model nor study changes it, so that a drift over the sessions is the machine's.
"""

import time

import numpy as np

# Together about half a second on two cores of a server
SIZE, REPETITIONS = 1024, 20


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
