"""vLLM under requests that keep coming."""

import pytest

from helpers import serving
from joulegrid.engines import vllm

pytestmark = pytest.mark.slow

CAST = {"method": "cast", "dtype": "float32"}
ENGINE = {"method": "vllm", "max_num_seqs": 4, "prefix_caching": False}


@pytest.fixture(autouse=True)
def _loaded(engine, monkeypatch):
    """One load is enough, and a second model in one process vLLM does not take."""
    monkeypatch.setattr(vllm, "load", lambda *_: engine)


def test_requests_that_arrive_by_themselves_join_those_that_run(tiny, tmp_path):
    record = serving.replayed(tiny, CAST, ENGINE, tmp_path / "x.requests.parquet")
    assert record["settings"]["prefix_caching"] == "off"


def test_a_closed_loop_is_measured_while_its_batch_is_full(tiny):
    serving.kept_full(tiny, CAST, ENGINE)


def test_what_is_in_progress_does_not_wait(tiny, engine, tmp_path):
    """The last test here: it leaves requests in the engine, and takes them out."""
    try:
        serving.overtaxed(tiny, CAST, ENGINE, tmp_path / "x.requests.parquet", 4)
    finally:
        engine.llm.abort_request([*engine.llm.output_processor.request_states], internal=True)
