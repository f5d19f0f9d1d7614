"""What the tests on a GPU share: the board, random models of real shapes, and where results go.

`make test-gpu`, or `python3 -m pytest tests/gpu` in any Python with torch for CUDA, transformers
and nvidia-ml-py. Reading the sensors takes psutil as well, loading a model to run it accelerate,
sessions both and codecarbon, int8 and nf4 bitsandbytes: what needs one that is not there is
skipped, and the end of the output says so. Samples and a table, which grows with each test, are
written below GPU_KIT_OUT, or build/gpu.

On a machine with several GPUs the first one that is visible is used.
"""

import importlib.util
import os
import shutil
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import pytest

from helpers.gpu_table import Table

REQUIRED = ("torch", "transformers", "pynvml")
# Name, GB of the board from which on it is made: 16-bit weights, what loading and int8 take beside
# them, and the cache; all with room
SIZES = (("8b", 44), ("3b", 22), ("1b", 0))
# Weights are kept, and pruned ones beside them
DISK_GB = {"8b": 40, "3b": 16, "1b": 0}


class Model(NamedTuple):
    """A random Llama: its size in words, and its folder."""

    name: str
    folder: Path


def pytest_terminal_summary(terminalreporter):
    """Say why tests were skipped, whatever the options: what did not run has shown nothing."""
    missing = [name for name in REQUIRED if importlib.util.find_spec(name) is None]
    if missing:
        terminalreporter.write_line(f"tests/gpu: {', '.join(missing)} NOT HERE: nothing ran")
    reports = terminalreporter.stats.get("skipped", ())
    reasons = Counter(report.longrepr[2] for report in reports if "tests/gpu/" in report.nodeid)
    for reason, count in reasons.items():
        terminalreporter.write_line(f"tests/gpu: {count} skipped: {reason}")


@pytest.fixture(scope="session", autouse=True)
def cuda():
    """Skips all of it, loudly, where there is no GPU; of several the first one is seen."""
    for name in REQUIRED:
        pytest.importorskip(name, reason=f"{name} IS NOT HERE")
    import torch

    first = os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0]
    os.environ["CUDA_VISIBLE_DEVICES"] = first  # CUDA reads it when it is first used
    if not torch.cuda.is_available():
        pytest.skip("NO GPU: none of the tests on GPUs ran")


@pytest.fixture(scope="session")
def out():
    """Where samples and the table go."""
    folder = Path(os.environ.get("GPU_KIT_OUT", "build/gpu"))
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def uuid():
    """The UUID of CUDA's first board, as NVML spells it."""
    import torch

    return f"GPU-{torch.cuda.get_device_properties(0).uuid}"


@pytest.fixture(scope="session")
def one_billion(tmp_path_factory):
    """A random Llama of 1 billion weights in bfloat16."""
    from helpers import tiny_model

    return Model("1b", tiny_model.make_large(tmp_path_factory.mktemp("one_billion"), "1b"))


@pytest.fixture(scope="session")
def model(one_billion, tmp_path_factory):
    """The largest random Llama, up to 8 billion weights, that board and disk have room for."""
    import torch

    from helpers import tiny_model

    folder = tmp_path_factory.mktemp("model")
    board = torch.cuda.get_device_properties(0).total_memory / 1e9
    disk = shutil.disk_usage(folder).free / 1e9
    name = next(name for name, least in SIZES if board >= least and disk >= DISK_GB[name])
    if name == one_billion.name:
        return one_billion
    return Model(name, tiny_model.make_large(folder, name))


@pytest.fixture(scope="session")
def table(out):
    """The table to which the tests add rows."""
    return Table(out)
