"""Workloads of several points: one load, one record, windows of each point; a point that cannot run
is a finding of its own.
"""

import pytest

from joulegrid.engines import Request
from joulegrid.engines import transformers as engine
from joulegrid.errors import Disturbed, InputError, OutOfMemory, Unsupported
from joulegrid.jobs import outcomes
from joulegrid.metering import floor, points, session
from joulegrid.workloads import batch, lengths

PROMPTS = {"path": "config/prompts/questions.jsonl"}
LENGTHS = {"method": "lengths", "prompts": PROMPTS, "count": 3, "prompt_tokens": [8, 500]}
SPEC = {
    "quantization": {"method": "cast", "dtype": "float32"},
    "hardware": {"device": "cpu", "threads": 1},
    "engine": {"method": "transformers", "batch_size": 2},
    "workload": {**LENGTHS, "new_tokens": [4, 8, 16]},
    "protocol": {
        "min_seconds": 0.01,
        "precision": 0.9,
        "max_windows": 3,
        "idle_seconds": 0.01,
        "tracking": "machine",
        "disturbed": "accept",
        "phases": True,
        "seed": 0,
    },
    "session": 1,
}


@pytest.fixture(scope="module")
def record(tiny):
    """Of six points, the last of which is longer than the context of 512 tokens."""
    loads, real = [], engine.load
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine, "load", lambda *given: loads.append(1) or real(*given))
        found = session.measure(SPEC, tiny)
    assert len(loads) == 1
    return found


def test_every_point_has_its_windows_and_exact_lengths(record):
    asked = [(p["prompt_tokens"], p["new_tokens"]) for p in record["points"]]
    assert asked == [(read, new) for read in (8, 500) for new in (4, 8, 16)]
    for number, point in enumerate(record["points"][:5]):
        read, new = asked[number]
        assert point["lengths"] == {"tokens_read": [read] * 3, "tokens_written": [new] * 3}
        for kind, written in (("windows", new), ("prefill_windows", 1)):
            own = [w for w in record[kind] if w["point"] == number]
            assert len(own) >= 3
            for window in own:
                assert window["requests"] == 3 * window["runs"]
                assert window["tokens_read"] == read * window["requests"]
                assert window["tokens_written"] == written * window["requests"]


def test_a_point_that_does_not_fit_is_its_own_finding(record):
    assert [point["status"] for point in record["points"]] == ["ok"] * 5 + ["unsupported"]
    last = record["points"][5]
    assert "the model's context is 512" in last["reason"]
    assert last["lengths"] == {"tokens_read": [], "tokens_written": []}
    assert {window["point"] for window in record["windows"]} == {0, 1, 2, 3, 4}


def test_a_sweep_none_of_whose_points_runs_is_a_finding(tmp_path):
    workload = {**LENGTHS, "new_tokens": 4, "concurrency": [3, 4]}
    taken = session.Taken(points=[points.Measured(point) for point in lengths.points(workload, 0)])
    first, *_, last = taken.points
    session.attempt_point(taken, first, tmp_path, SPEC)
    assert first.finding["reason"] == "the engine entry runs 2 requests at once, not 3"
    taken.points = [first, last]
    with pytest.raises(Unsupported, match="the engine entry runs 2 requests at once, not 4"):
        session.attempt_point(taken, last, tmp_path, SPEC)


def failing(monkeypatch, tiny, error, at=8, memory=None):
    """A session of three points, in the one of which with `at` new tokens the engine fails."""
    real = engine.Engine.run

    def run(self, requests, **more):
        if requests[0].new_tokens == at:
            raise error
        return real(self, requests, **more)

    monkeypatch.setattr(engine.Engine, "run", run)
    monkeypatch.setattr(session, "reference_seconds", lambda: 1.0)
    workload = {**LENGTHS, "prompt_tokens": 8, "new_tokens": [4, 8, 16]}
    spec = {**SPEC, "workload": workload, "protocol": {**SPEC["protocol"], "phases": False}}
    return session.measure(spec, tiny, memory=memory)


HELD = {
    "what": "main memory",
    "total_bytes": 16 << 30,
    "free_bytes": 8 << 30,
    "held_by_others_bytes": 8 << 30,
}


def test_memory_that_others_hold_leaves_the_windows_before(tiny, monkeypatch):
    message = "ended at point 2 of 3 .*: out of memory .* but other processes held 8.6 of 17.2 GB"
    with pytest.raises(Disturbed, match=message) as end:
        failing(monkeypatch, tiny, OutOfMemory("no room"), memory=HELD)
    assert {window["point"] for window in end.value.windows} == {0}


def test_memory_that_others_hold_leaves_a_replay_so_far():
    kept = {"windows": [{"seconds": 5.0}], "replay": {"finished": 2}}
    with pytest.raises(Disturbed, match="nothing is recorded; run snakemake again") as end:
        outcomes.finding(OutOfMemory("no room", kept), HELD)
    assert end.value.windows == [{"seconds": 5.0}]
    assert end.value.facts == {"replay": {"finished": 2}}
    assert set(kept) == {"windows", "replay"}


def test_an_engine_that_fails_at_a_point_leaves_the_windows_before(tiny, monkeypatch):
    error = InputError("vLLM failed while running: gone\nthe log ends with\nKilled")
    message = r"^ended at point 2 of 3 after \d windows, the next run tries again: vLLM failed"
    with pytest.raises(Disturbed, match=message) as end:
        failing(monkeypatch, tiny, error)
    assert {window["point"] for window in end.value.windows} == {0}
    said = [(point["status"], point.get("reason")) for point in end.value.facts["points"]]
    assert said == [("ok", None)] + [("missing", "vLLM failed while running: gone")] * 2
    assert str(end.value).endswith("Killed")


def test_an_engine_that_dies_of_a_point_leaves_a_record_of_those_before(tiny, monkeypatch):
    told = iter([{"ram": 5}, {"ram": 1}])
    monkeypatch.setattr(engine.Engine, "memory", lambda _: next(told))
    record = failing(monkeypatch, tiny, OutOfMemory("vLLM: no room", is_last=True))
    assert record["memory_bytes"] == {"ram": 5}, "asked while the engine ran"
    assert [point["status"] for point in record["points"]] == ["ok", "oom", "missing"]
    assert record["points"][1]["reason"] == "vLLM: no room"
    said = "not tried: at point 2 of 3 the engine died: vLLM: no room"
    assert record["points"][2]["reason"] == said
    assert {window["point"] for window in record["windows"]} == {0}
    assert record["idle"]["end"] is None, "nothing is loaded any more"
    with pytest.raises(OutOfMemory, match="vLLM: no room"):
        failing(monkeypatch, tiny, OutOfMemory("vLLM: no room", is_last=True), at=4)


def test_answers_may_end_where_the_model_ends_them():
    entry = {"prompts": PROMPTS, "count": 2, "chat": False, "new_tokens": [4, 9]}
    fixed, natural = (batch.points({**entry, "stop": s}, 0) for s in ("fixed", "natural"))
    assert [point.new_tokens for point in natural] == [4, 9]
    assert {request.stops for point in fixed for request in point.requests} == {False}
    assert {request.stops for point in natural for request in point.requests} == {True}
    limited = batch.points({**entry, "concurrency": [1, 2]}, 0)
    assert [(p.at_once, p.new_tokens) for p in limited] == [(1, 4), (1, 9), (2, 4), (2, 9)]


def test_prompts_of_a_sweep_begin_alike_and_differ_from_each_other():
    entry = {**LENGTHS, "new_tokens": [4, 8]}
    found = lengths.points(entry, 0)
    assert found == lengths.points(entry, 0) != lengths.points(entry, 1)
    texts = {tuple(request.prompt for request in point.requests) for point in found}
    assert len(texts) == 1
    (texts,) = texts
    assert len(set(texts)) == 3
    assert all(len(text) >= 8 * 500 for text in texts)


def test_the_fewest_steps_of_answers_that_differ():
    def steps(*lengths, at_once):
        return floor.steps([Request("", length) for length in lengths], at_once)

    assert steps(5, 5, 5, at_once=3) == 4
    assert steps(5, 5, 5, at_once=2) == 6
    assert steps(9, 2, 2, at_once=2) == 8
    assert steps(1, 1, at_once=2) == 0
