"""llama.cpp under requests that keep coming."""

import os

import pytest

from helpers import serving
from joulegrid.engines import Request, llamacpp
from joulegrid.engines.llamacpp import server
from joulegrid.errors import OutOfMemory

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


def test_a_context_without_room_costs_no_other_request(made, monkeypatch):
    """llama.cpp is played where it has no memory: what it says then is what it really says."""
    real, most = server.xllamacpp.Server, [200 * 2]

    def starting(settings):
        if settings.n_ctx > most[0]:
            os.write(2, b"0.00.004.1 E alloc_tensor_range: failed to allocate buffer\n")
            raise RuntimeError("no model")
        return real(settings)

    monkeypatch.setattr(server.xllamacpp, "Server", starting)
    monkeypatch.setattr(llamacpp, "CONTEXT", 64)
    loaded = llamacpp.load(made(64, "F32")[0], GGUF, {"device": "cpu"}, ENGINE)
    short, long = (Request("Who?", new_tokens, chat=False) for new_tokens in (4, 300))
    first, described = loaded.run([short]), loaded.describe()
    for _ in range(2):
        with pytest.raises(OutOfMemory, match="failed to allocate") as end:
            loaded.run([long])
        assert not end.value.is_last
        assert loaded.run([short])[0].text == first[0].text
        assert loaded.describe() == described
    most[0] = 0
    with pytest.raises(OutOfMemory) as end:
        loaded.run([long])
    assert end.value.is_last, "what it had room for is gone too"
    assert loaded.describe() == described


def test_a_closed_loop_is_measured_while_its_slots_are_full(made):
    serving.kept_full(made(64, "F32")[0], GGUF, ENGINE)


def test_what_is_in_progress_does_not_wait(made, tmp_path):
    serving.overtaxed(made(64, "F32")[0], GGUF, ENGINE, tmp_path / "x.requests.parquet", 2)
