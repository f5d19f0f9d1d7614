"""llama.cpp under requests that keep coming."""

import pytest

from helpers import serving
from joulegrid.engines import llamacpp

pytestmark = pytest.mark.slow

GGUF = {"method": "gguf", "type": "F32"}
ENGINE = {"method": "llamacpp", "slots": 2}


def test_requests_that_arrive_by_themselves_join_those_that_run(made, tmp_path):
    record = serving.replayed(made(64, "F32")[0], GGUF, ENGINE, tmp_path / "x.requests.parquet")
    assert record["settings"]["slots"] == "2"


def test_nothing_is_tokenized_nor_loaded_in_the_window(made, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(llamacpp, "CONTEXT", 64)
    before, during = serving.said_before_and_during(
        llamacpp, made(64, "F32")[0], GGUF, ENGINE, tmp_path, monkeypatch, capsys
    )
    assert before.count("loading again, for 206 tokens") == 1
    assert before.count("tokenizing") == 2  # a prompt that arrives again is the same
    assert "loading again" not in during
    assert "tokenizing" not in during


def test_a_closed_loop_is_measured_while_its_slots_are_full(made):
    serving.kept_full(made(64, "F32")[0], GGUF, ENGINE)


def test_what_is_in_progress_does_not_wait(made, tmp_path):
    serving.overtaxed(made(64, "F32")[0], GGUF, ENGINE, tmp_path / "x.requests.parquet", 2)
