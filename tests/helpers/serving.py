"""Sessions of requests that keep coming, as every engine that joins them runs them."""

import pyarrow.parquet as pq

from joulegrid.metering import session

PROMPTS = {"path": "config/prompts/questions.jsonl"}
ASKED = {"prompts": PROMPTS, "new_tokens": 6, "chat": False}
REPLAY = {
    **ASKED,
    "method": "replay",
    "rate_per_s": 8,
    "arrivals": "constant",
    "duration_s": 2,
    "drain_s": 60,
    "bin_s": 1,
    "stop": "natural",
}
STEADY = {**ASKED, "method": "steady", "concurrency": 2, "stop": "fixed"}
PROTOCOL = {
    "min_seconds": 0.1,
    "precision": 0.9,
    "max_windows": 3,
    "idle_seconds": 0,
    "tracking": "machine",
    "disturbed": "accept",
    "phases": False,
    "seed": 0,
}


def spec_of(workload, quantization, engine):
    """The spec of a session on this machine's CPU."""
    return {
        "quantization": quantization,
        "hardware": {"device": "cpu", "threads": 1},
        "engine": engine,
        "workload": workload,
        "protocol": PROTOCOL,
        "session": 1,
    }


def replayed(weights, quantization, engine, path):
    """A replay that must keep up: what the record says of it."""
    record = session.measure(spec_of(REPLAY, quantization, engine), weights, requests=path)
    facts, rows = record["replay"], pq.read_table(path).to_pylist()
    assert facts["finished"] == facts["arrived"] == len(rows) == 16
    for number, row in enumerate(rows):
        assert row["arrival_s"] == number / 8
        assert row["arrival_s"] <= row["started_s"] < row["first_token_s"] < row["done_s"]
        assert 1 <= row["tokens_written"] <= 6
    assert record["windows"][0]["seconds"] >= 2
    assert 0 < facts["total_s"]["p50"] <= facts["total_s"]["p99"]
    return record


def said_before_and_during(module, weights, quantization, engine, folder, patch, capsys):
    """What is said before and in the window of a replay whose last of six prompts is by far the
    longest; each time that a prompt is tokenized, it says so.
    """
    real = module.tokens_of
    patch.setattr(module, "tokens_of", lambda *given: print("tokenizing") or real(*given))
    trace = folder / "trace.csv"
    rows = [f"{n / 8},one two,{200 if n == 5 else 8}" for n in range(6)]
    trace.write_text("\n".join(["arrival_s,prompt,prompt_tokens", *rows]) + "\n")
    left = {key: REPLAY[key] for key in REPLAY if key not in ("prompts", "rate_per_s", "arrivals")}
    workload = {**left, "trace": {"path": str(trace)}, "duration_s": 1}
    capsys.readouterr()
    session.measure(spec_of(workload, quantization, engine), weights)
    return capsys.readouterr().out.split("\nreplay: 6 requests")


def kept_full(weights, quantization, engine):
    """A closed loop of two requests at once: the windows in which the batch is full."""
    record = session.measure(spec_of(STEADY, quantization, engine), weights)
    for window in record["windows"]:
        assert window["seconds"] >= 0.1
        assert window["tokens_written"] > 0
        assert window["codecarbon_j"] is None
    return record


def overtaxed(weights, quantization, engine, path, at_once):
    """A replay that gives up a second after 100 requests a second began to come, `at_once` of which
    are worked at at a time: what waits then is told from what is in progress.
    """
    workload = {**REPLAY, "rate_per_s": 100, "duration_s": 1, "drain_s": 0, "new_tokens": 400}
    workload = {**workload, "stop": "fixed"}
    record = session.measure(spec_of(workload, quantization, engine), weights, requests=path)
    facts, rows = record["replay"], pq.read_table(path).to_pylist()
    assert facts["unfinished"] > 3 * at_once
    begun = [row["started_s"] for row in rows if row["started_s"] is not None]
    assert sum(at <= 1 for at in begun) == facts["arrived"] - facts["waiting"]
    assert facts["in_progress"] == facts["backlog"] - facts["waiting"]
    # what ends just then may still be on its way when the next one begins
    assert 0 < facts["in_progress"] <= 2 * at_once
    left = [row for row in rows if row["started_s"] is not None and row["done_s"] is None]
    assert 0 < len(left) <= 2 * at_once, "begun, and not finished when it was given up"
    return record
