"""llama.cpp under requests that keep coming."""

import pytest

from helpers import serving

pytestmark = pytest.mark.slow

GGUF = {"method": "gguf", "type": "F32"}
ENGINE = {"method": "llamacpp", "slots": 2}


def test_requests_that_arrive_by_themselves_join_those_that_run(made, tmp_path):
    record = serving.replayed(made(64, "F32")[0], GGUF, ENGINE, tmp_path / "x.requests.parquet")
    assert record["settings"]["slots"] == "2"


def test_a_closed_loop_is_measured_while_its_slots_are_full(made):
    serving.kept_full(made(64, "F32")[0], GGUF, ENGINE)
