"""A tiny random Llama on vLLM, loaded once."""

import os

import pytest

# threads that wait for each other stand still where the machine does something else
os.environ["OMP_NUM_THREADS"] = "1"

from helpers import tiny_model
from joulegrid.engines import vllm

CAST = {"method": "cast", "dtype": "float32"}
OPTIONS = {"max_num_seqs": 4, "enforce_eager": True, "prefix_caching": False}
CPU = {"device": "cpu"}


@pytest.fixture(scope="session")
def tiny(tmp_path_factory):
    return tiny_model.make(tmp_path_factory.mktemp("tiny"), 128)


@pytest.fixture(scope="session")
def inside():
    """Without processes of vLLM's own, which start for a minute, and with a small KV cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(vllm.SETTINGS, "VLLM_ENABLE_V1_MULTIPROCESSING", "0")
        patch.setattr(vllm, "KV_CACHE_ON_CPU", 64 << 20)
        yield


@pytest.fixture(scope="session")
def engine(tiny, inside):
    return vllm.load(tiny, CAST, CPU, OPTIONS)
