"""An index of a GPU means the same board to CUDA, which computes, and to NVML, which meters."""

import os
import subprocess
import sys

from conftest import ROOT

# What a job has done before its work begins: imported its script
JOBS = ("measure_energy", "evaluate_quality", "prune_weights", "quantize_weights")
IMPORTING = """
import os, sys
sys.path.insert(0, "scripts")
for job in sys.argv[1:]:
    __import__(job)
torch = sys.modules.get("torch")
print(os.environ["CUDA_DEVICE_ORDER"], torch is not None and torch.cuda.is_initialized())
"""


def test_cuda_counts_boards_as_nvml_does_before_it_is_used():
    """CUDA's own order is the fastest board first: on a mixed node index 0 may be another one."""
    done = subprocess.run(
        [sys.executable, "-c", IMPORTING, *JOBS],
        cwd=ROOT,
        env={**os.environ, "CUDA_DEVICE_ORDER": "FASTEST_FIRST"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["PCI_BUS_ID", "False"]
