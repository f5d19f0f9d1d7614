"""What the tests on a GPU share: the board, random models of real shapes, and where results go.

`make test-gpu`, or `python3 -m pytest tests/gpu` in any Python with torch for CUDA, transformers,
nvidia-ml-py and psutil. Samples and a table are written below GPU_KIT_OUT, or build/gpu.
"""

import os
from pathlib import Path

import pytest

from helpers import tiny_model

torch = pytest.importorskip("torch")


@pytest.fixture(scope="session", autouse=True)
def cuda():
    """Skips all of it, loudly, where there is no GPU."""
    if not torch.cuda.is_available():
        pytest.skip("NO GPU: none of the tests on GPUs ran")
    for name in ("psutil", "pynvml"):
        pytest.importorskip(name)


@pytest.fixture(scope="session")
def out():
    """Where samples and the table go."""
    folder = Path(os.environ.get("GPU_KIT_OUT", "build/gpu"))
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def uuid():
    """The UUID of CUDA's first board, as NVML spells it."""
    return f"GPU-{torch.cuda.get_device_properties(0).uuid}"


@pytest.fixture(scope="session")
def one_billion(tmp_path_factory):
    """A random Llama of 1 billion weights in bfloat16."""
    return tiny_model.make_large(tmp_path_factory.mktemp("one_billion"), 16)


@pytest.fixture(scope="session")
def table(out):
    """Rows that the tests add; printed and written at the end."""
    rows: list[str] = []
    yield rows
    text = "\n".join(rows)
    (out / "table.txt").write_text(f"{text}\n", encoding="utf-8")
    print(f"\n{text}")
