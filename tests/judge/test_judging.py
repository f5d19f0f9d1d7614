"""Asking a judge over HTTP: an endpoint on this machine behaves as badly as real ones do."""

import json
import os
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import httpx2
import openai
import pytest
from openai import _base_client

from conftest import ROOT
from helpers import ending
from helpers.judge_endpoint import VERDICT, Endpoint
from joulegrid.errors import InputError
from joulegrid.judging import client, waiting
from joulegrid.judging.arena import Comparison, check_template, request_name, settings_of
from joulegrid.judging.budget import Price
from joulegrid.judging.client import ask_all
from joulegrid.judging.replies import Kept, Reply
from joulegrid.records import identity

TEMPLATE = (ROOT / "config/prompts/judge.txt").read_text()
SETTINGS = settings_of({"model": "umpire", "max_tokens": 50})
KEY = "sk-secret-0123456789"


def requests(count):
    found = {}
    for n in range(count):
        messages = Comparison(n, f"question {n}", "own", "baseline").messages(TEMPLATE, n % 2 == 0)
        found[request_name(messages, SETTINGS)] = messages
    return found


@pytest.fixture
def endpoint():
    """A function that starts an endpoint."""
    started = []

    def start(*manners, **more):
        started.append(Endpoint(manners, **more))
        return started[-1]

    yield start
    for each in started:
        each.close()


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch):
    monkeypatch.setattr(client, "PAUSE_S", 0.0)


@pytest.fixture
def ask(tmp_path):
    """A function that asks an endpoint with one file of replies."""

    def of(endpoint, count, **more):
        told = client.Endpoint(endpoint.url, **{"concurrency": 3, "timeout_s": 60, **more})
        with Kept(tmp_path / "replies.jsonl") as kept:
            return ask_all(requests(count), SETTINGS, told, kept)

    return of


def test_what_a_judge_is_asked(endpoint, ask):
    server = endpoint(together=3, delay=0.1)
    found, cost = ask(server, 6, timeout_s=60)
    assert [r.text for r in found.values()] == [VERDICT] * 6
    assert cost is None
    sent = server.asked[0]
    assert sent["path"] == "/v1/chat/completions"
    assert {key: sent[key] for key in SETTINGS} == SETTINGS
    assert SETTINGS["temperature"] == 0
    assert [m["role"] for m in sent["messages"]] == ["system", "user"]
    assert server.most == 3
    assert {r.model for r in found.values()} == {"umpire-2026"}
    one, other = (
        Comparison(1, "Why {question}?", "MINE {answer_b}", "BASE").messages(TEMPLATE, first)[1]
        for first in (True, False)
    )
    assert one["content"].index("BASE") < one["content"].index("MINE {answer_b}")
    assert other["content"].index("MINE {answer_b}") < other["content"].index("BASE")
    assert one["content"].count("Why {question}?") == 1


@pytest.mark.parametrize("manner", ["busy", "broken", "half", "not_json", "no_choice"])
def test_what_passes_is_tried_again(endpoint, ask, manner):
    server = endpoint(manner)
    found, _ = ask(server, 2)
    assert [r.text for r in found.values()] == [VERDICT] * 2
    assert len(server.asked) == 3


def test_a_long_wait_that_an_endpoint_asks_for_is_waited(endpoint, ask, monkeypatch):
    """The openai package gives up where it is longer than two minutes; here where there is any."""
    monkeypatch.setattr(_base_client, "MAX_RETRY_AFTER_DELAY", 0.0)
    monkeypatch.setattr(waiting, "LONG_S", 0.0)
    server = endpoint("later", "later")
    found, _ = ask(server, 1)
    assert [r.text for r in found.values()] == [VERDICT]
    assert len(server.asked) == 3
    server = endpoint(always="later")
    with pytest.raises(InputError, match=r"did not answer one request in 3 tries: .*in a while"):
        ask(server, 2, retries=2, concurrency=1)
    assert len(server.asked) == 3


def test_waits_are_told_as_numbers_and_as_dates():
    def wait(status, **headers):
        answer = httpx2.Response(
            status, headers=headers, request=httpx2.Request("POST", "http://a")
        )
        return waiting.long_wait(openai.APIStatusError("", response=answer, body=None))

    assert wait(429, **{"retry-after": "600"}) == 600
    then = format_datetime(datetime.now(UTC) + timedelta(seconds=600))
    assert 500 < wait(503, **{"retry-after": then}) <= 600
    for value in ("5", "soon", "nan", "inf", "-3", ""):
        assert wait(429, **{"retry-after": value}) == 0
    assert wait(413, **{"retry-after": "600"}) == wait(429) == 0
    assert wait(429, **{"retry-after": "600", "x-should-retry": "false"}) == 0


def test_silence_is_tried_again(endpoint, ask):
    server = endpoint("silent")
    found, _ = ask(server, 1, timeout_s=5)
    assert len(found) == 1
    assert len(server.asked) == 2


def test_what_is_no_verdict_is_kept_as_it_came(endpoint, ask):
    server = endpoint("nonsense", "cut", "refuses", "too_long")
    found, cost = ask(server, 5, concurrency=1, price=Price(1, 2))
    finishes = ["stop", "length", "refused", "refused", "stop"]
    assert [r.finish for r in found.values()] == finishes
    texts = [r.text for r in found.values()]
    assert texts[:2] == ["I like both! {} \u2028 [[C>A]]", "Answer A begins well, but"]
    assert "prompt is too long" in texts[2]
    assert "payload too large" in texts[3]
    assert cost == pytest.approx(3 * (100 + 2 * 10) / 1e6)
    again, _ = ask(endpoint("ok"), 5)
    assert again.keys() == found.keys()
    assert [again[name] for name in list(found)[:2]] == list(found.values())[:2]


def shaped(message, **more):
    """What an endpoint sends whose replies are of another shape."""
    return json.dumps({"choices": [{"finish_reason": "stop", "message": message}], **more})


PARTS = [
    {"type": "thinking", "thinking": "Hm."},
    {"type": "text", "text": "B. "},
    {"type": "text", "text": "[[B>A]]"},
]


@pytest.mark.parametrize(
    ("sent", "text"),
    [
        (shaped({"content": PARTS}), "B. [[B>A]]"),
        (shaped({"content": "[[A>B]] \ud83d"}), "[[A>B]] \ufffd"),
        (shaped({"content": None}), ""),
    ],
)
def test_a_reply_of_another_shape_is_kept_as_text(endpoint, ask, sent, text):
    for _ in range(2):  # as it came, and as it was kept
        found, _ = ask(endpoint(always="shaped", text=sent), 1)
        (reply,) = found.values()
        assert (reply.text, reply.finish) == (text, "stop")
        reply.text.encode()


@pytest.mark.parametrize(
    "sent",
    [
        '{"error": {"message": "overloaded"}}',
        '{"choices": [null]}',
        '{"choices": ["x"]}',
        '{"choices": {"0": "x"}}',
        "null",
        shaped("hi"),
        shaped({"content": ["hi"]}),
        shaped({"content": [{"type": "text", "text": 1}]}),
        shaped({"content": {"text": "hi"}}),
        shaped({"content": "hi"}, usage="none"),
        shaped({"content": "hi"}, usage={"prompt_tokens": "1", "completion_tokens": 2}),
        shaped({"content": "hi"}, model=7),
    ],
)
def test_what_is_no_reply_is_asked_for_again_and_never_kept(endpoint, ask, tmp_path, sent):
    with pytest.raises(InputError, match="answers to one request were no chat completions"):
        ask(endpoint(always="shaped", text=sent), 1)
    assert (tmp_path / "replies.jsonl").read_bytes() == b""


@pytest.mark.parametrize(
    ("manner", "message"),
    [
        ("forbids", r"does not accept the key \(JUDGE_KEY\): .*Incorrect key: Bearer \(the key\)"),
        ("unknown", r"has no model 'umpire': .*no such model.* 0 of 3 replies are kept"),
        ("broken", r"did not answer one request in 3 tries: .*; 0 of 3 replies are kept: run sna"),
        ("tomorrow", r"asks to wait 24\.0 h: .*no more.*; 0 of 3 replies are kept: run snakemake"),
        ("unpaid", r"refused a request: .*no credit.*; 0 of 3 replies are kept: run snakemake"),
        ("refuses", r"refused every request: .*prompt is too long"),
        ("not_json", r"4 answers to one request were no chat completions; is the address right"),
    ],
)
def test_what_does_not_pass_ends_with_one_message(
    endpoint, ask, manner, message, monkeypatch, capfd
):
    monkeypatch.setenv("JUDGE_KEY", KEY)
    server = endpoint(always=manner)
    with pytest.raises(InputError, match=message) as caught:
        ask(server, 3, retries=2, key_variable="JUDGE_KEY")
    assert KEY not in str(caught.value)
    assert KEY not in "".join(capfd.readouterr())
    assert server.keys == {f"Bearer {KEY}"}


def test_a_key_comes_from_the_environment_alone(endpoint, ask, tmp_path, monkeypatch):
    server = endpoint()
    with pytest.raises(InputError, match="environment variable JUDGE_KEY is not set"):
        ask(server, 1, key_variable="JUDGE_KEY")
    with pytest.raises(InputError, match="the address holds a name or a password") as caught:
        client.Endpoint("http://me:hidden@127.0.0.1/v1").key()
    assert "hidden" not in str(caught.value)
    monkeypatch.setenv("JUDGE_KEY", KEY)
    ask(server, 2, key_variable="JUDGE_KEY")
    assert KEY not in (tmp_path / "replies.jsonl").read_text()


def test_a_budget_is_never_exceeded_and_nothing_is_asked_twice(endpoint, ask):
    price = Price(read=10, written=30)
    each = (10 * 100 + 30 * 10) / 1e6
    most = price.at_most(next(iter(requests(1).values())), 50)
    assert most > each
    server = endpoint(delay=0.01)
    budget = most + 4.5 * each
    with pytest.raises(InputError, match=r"budget of \S+ USD is spent: .* of 20 replies") as caught:
        ask(server, 20, price=price, budget_usd=budget)
    first = len(server.asked)
    assert 1 <= first <= 5
    assert f"for {first} of 20 replies" in str(caught.value)
    with pytest.raises(InputError, match="budget"):
        ask(server, 20, price=price, budget_usd=budget)
    assert len(server.asked) == first, "what came before counts"
    found, cost = ask(server, 20, price=price, budget_usd=1.0)
    assert len(server.asked) == len(found) == 20
    assert len({json.dumps(sent) for sent in server.asked}) == 20
    assert cost == pytest.approx(20 * each)


def test_replies_to_an_earlier_template_are_not_counted(endpoint, tmp_path):
    price, server = Price(read=10, written=30), endpoint()
    told = client.Endpoint(server.url, price=price, budget_usd=1e-6)
    dead = client.Endpoint("http://127.0.0.1:9/v1", retries=0)
    with Kept(tmp_path / "replies.jsonl") as kept:
        for n in range(5):
            kept.keep(f"earlier {n}", Reply(VERDICT, "stop", 100, 10))
        kept.keep(next(iter(requests(2))), Reply(VERDICT, "stop", 0, 0))
        with pytest.raises(InputError, match="USD for 1 of 2 replies"):
            ask_all(requests(2), SETTINGS, told, kept)
        with pytest.raises(InputError, match="; 1 of 2 replies are kept"):
            ask_all(requests(2), SETTINGS, dead, kept)


def test_costs_of_an_endpoint_that_counts_nothing_are_not_made_up(endpoint, ask):
    with pytest.raises(InputError, match="does not say how many tokens"):
        ask(endpoint(usage=False), 2, price=Price(1, 1))
    found, cost = ask(endpoint(usage=False), 2)
    assert {r.tokens_read for r in found.values()} == {None}
    assert cost is None


KILLED = """
import sys
sys.path[:0] = ["scripts", "tests", "tests/judge"]
import test_judging as t
from pathlib import Path
with t.Kept(Path(sys.argv[2])) as kept:
    t.ask_all(t.requests(30), t.SETTINGS, t.client.Endpoint(sys.argv[1], concurrency=2), kept)
"""


def test_a_killed_job_goes_on_where_it_was(endpoint, ask, tmp_path):
    server = endpoint(delay=0.2)
    path = tmp_path / "replies.jsonl"
    job = subprocess.Popen(
        [sys.executable, "-c", KILLED, server.url, str(path)], cwd=ROOT, stdout=subprocess.DEVNULL
    )
    until = time.monotonic() + 300
    while time.monotonic() < until and len(server.asked) < 8:
        time.sleep(0.01)
    server.delay = 60  # it does not come to its end now
    with pytest.raises(InputError, match="another process is asking this judge the same"):
        ask(server, 30)
    os.kill(job.pid, signal.SIGKILL)
    job.wait()
    server.delay = 0
    there = path.read_bytes().count(b"\n")
    assert there >= 4
    with path.open("ab") as stream:
        stream.write(b'{"request": "0123", "text": "hal')  # as a full disk or a power cut leaves it
    found, _ = ask(server, 30)
    assert len(found) == 30
    # what was under way when it was killed, two at most, was paid for in vain
    assert len(server.asked) <= 32
    lines = path.read_text().splitlines()
    assert len({json.loads(line)["request"] for line in lines}) == len(lines) == 30


def test_a_file_of_something_else_is_named(tmp_path):
    path = tmp_path / "replies.jsonl"
    path.write_text('{"request": "a", "text": "b", "finish": "stop"}\n{"a": 1}\n')
    with pytest.raises(InputError, match=r"replies\.jsonl:2: not a reply of a judge"):
        Kept(path)
    path.write_text('{"request": "a", "text": ["b"], "finish": "stop"}\n')
    with pytest.raises(InputError, match=r"replies\.jsonl:1: not a reply of a judge"):
        Kept(path)
    path.write_text('{"request": "a", "text": "b", "finish": "stop"}\n')
    with Kept(path) as kept:
        assert kept.found == {"a": Reply("b", "stop")}


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{question} {answer_a}", "see 'answer_b'"),
        ("{question} {answer_a} {answer_b} {reference}", "see 'reference'"),
        ("{question} {answer_a} {answer_b} {", "a brace that is meant as such is written twice"),
        ("{question} {answer_a}\n===\n{answer_b}", "in the user's part"),
    ],
)
def test_a_template_shows_the_question_and_both_answers(template, message):
    check_template(TEMPLATE)
    with pytest.raises(InputError, match=message):
        check_template(template)


def answers(texts, **more):
    """A record of answers to questions of the shipped file, by their lines."""
    task = {"template": "{question}", "reference": "reference"}
    data = {"path": "config/data/saf/questions.jsonl"}
    return {
        "schema_version": 2,
        "status": "ok",
        "spec": {"quality": {**task, "data": data}},
        "lines": [1, 2, 3],
        "answers": [{"line": line, "text": text} for line, text in texts.items()],
        **more,
    }


@pytest.fixture
def job(tmp_path):
    """A function that runs the job which asks a judge, and gives its process and its record."""
    judge = {
        "model": "umpire",
        "max_tokens": 50,
        "prompt": {"path": "config/prompts/judge.txt"},
    }

    def run(url, own, baseline, revision=None, **told):
        known = judge if revision is None else {**judge, "revision": revision}
        spec = {"kind": "judgments", "judge": known, "made_from": "a" * 16, "baseline": "b" * 16}
        place = tmp_path / f"judgments/{identity(spec)}.json"
        for name, record in (("a", own), ("b", baseline)):
            (tmp_path / f"{name * 16}.json").write_text(json.dumps(record))
        asked = {"endpoint": url, "concurrency": 2, "timeout_seconds": 60, "retries": 1}
        asked |= {"local": False, **told}
        options = {
            "spec": json.dumps(spec),
            "source": str(tmp_path),
            "baseline": str(tmp_path / f"{'b' * 16}.json"),
            "endpoint": json.dumps(asked),
            "output": str(place),
        }
        command = [sys.executable, "scripts/judge_answers.py"]
        for name, value in options.items():
            command += [f"--{name}", value]
        process = subprocess.Popen(
            command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        return process, place

    return run


def test_a_job_records_what_was_compared_and_said(endpoint, job):
    server = endpoint("busy", text="[[A>>B]]")
    told = {"usd_per_million": {"read": 10, "written": 30}}
    process, place = job(
        server.url, answers({1: "o1", 3: "o3"}), answers({1: "b1", 2: "b"}), **told
    )
    log = process.communicate()[0]
    assert process.returncode == 0, log
    record = json.loads(place.read_text())
    assert record["lines"] == [1, 2, 3]
    (judgment,) = record["judgments"]
    assert (judgment["line"], judgment["own"], judgment["baseline"]) == (1, "o1", "b1")
    assert [r["text"] for r in judgment["replies"]] == ["[[A>>B]]"] * 2
    usage = {"tokens_read": 200, "tokens_written": 20, "cost_usd": pytest.approx(0.0026)}
    assert record["usage"] == usage
    assert record["judge"] == {"local": False, "replies": 2, "metered": 0}
    assert "cost" not in record
    question = json.loads((ROOT / "config/data/saf/questions.jsonl").read_text().split("\n")[0])
    shown = {json.dumps(sent["messages"]): sent["messages"][1]["content"] for sent in server.asked}
    assert len(shown) == 2
    assert all(question["question"] in text for text in shown.values())
    # answers made anew that came out the same are known by what was asked
    place.unlink()
    process, _ = job(server.url, answers({1: "o1"}), answers({1: "b1"}), **told)
    assert process.wait() == 0
    assert len(server.asked) == 3
    assert json.loads(place.read_text())["usage"] == usage


def test_a_new_revision_of_a_judge_is_asked_everything_anew(endpoint, job):
    found = {}
    for revision, verdict in ((None, "[[A>B]]"), ("build 1", "[[A>>B]]"), ("build/2", "[[A=B]]")):
        server = endpoint(text=verdict)
        for _ in range(2):
            process, place = job(server.url, answers({1: "o1"}), answers({1: "b1"}), revision)
            log = process.communicate()[0]
            assert process.returncode == 0, log
            found[place] = json.loads(place.read_text())["judgments"][0]["replies"]
            assert [reply["text"] for reply in found[place]] == [verdict] * 2
            place.unlink()
        assert len(server.asked) == 2, "once, and by nobody who asks the same again"
    assert len(found) == 3


def test_a_job_that_is_ended_says_what_is_kept(endpoint, job):
    server = endpoint(delay=1.0)
    own = answers({1: "o", 2: "o", 3: "o"})
    process, place = job(server.url, own, answers({1: "b", 2: "b", 3: "b"}))
    place.parent.mkdir()
    earlier = {"request": "of another template", "text": VERDICT, "finish": "stop"}
    (place.parent / "replies.jsonl").write_text(json.dumps(earlier) + "\n")
    until = time.monotonic() + 300
    while time.monotonic() < until and len(server.asked) < 4:
        time.sleep(0.01)
    server.delay = 10  # of the last two, should the signal come late
    ending.terminate(process)
    log = process.communicate()[0]
    assert process.returncode == 1
    kept = (place.parent / "replies.jsonl").read_text().count("\n") - 1
    assert kept == len(server.asked) >= 3, "what was under way came in"
    assert log.endswith(
        f"error: ended by SIGTERM: {kept} of 6 replies are kept; run snakemake again\n"
    )
    assert not place.exists()


def test_a_baseline_without_answers_is_no_judgment(job):
    oom = {"schema_version": 2, "status": "oom", "reason": "out of memory"}
    process, place = job("http://127.0.0.1:9/v1", answers({1: "o"}), oom)
    assert process.wait() == 0
    record = json.loads(place.read_text())
    assert record["status"] == "oom"
    assert record["reason"] == "the baseline's answers: out of memory"


def test_what_a_judge_on_this_machine_takes_is_metered_and_replies_that_were_there_are_not(
    endpoint, job
):
    server = endpoint(delay=0.2)
    told = {"local": True, "concurrency": 1}
    process, place = job(server.url, answers({1: "o"}), answers({1: "b"}), **told)
    log = process.communicate()[0]
    assert process.returncode == 0, log
    record = json.loads(place.read_text())
    assert record["judge"] == {"local": True, "replies": 2, "metered": 2}
    cost = record["cost"]
    assert cost["seconds"] >= 0.4, "the two replies, one after the other"
    assert cost["energy_j"]["cpu"] > 0
    assert {how["basis"] for how in cost["basis"].values()} <= {
        "measured",
        "estimated",
        "guess",
        "absent",
    }
    # one more question: the replies to the first are there
    place.unlink()
    own, baseline = answers({1: "o", 2: "o"}), answers({1: "b", 2: "b"})
    process, _ = job(server.url, own, baseline, **told)
    assert process.wait() == 0
    record = json.loads(place.read_text())
    assert record["judge"] == {"local": True, "replies": 4, "metered": 2}
    place.unlink()
    process, _ = job(server.url, own, baseline, **told)
    assert process.wait() == 0
    record = json.loads(place.read_text())
    assert record["judge"] == {"local": True, "replies": 4, "metered": 0}
    assert "cost" not in record


def test_a_budget_that_is_spent_ends_a_metered_job_once(endpoint, job):
    server = endpoint()
    price = {"read": 1e6, "written": 1e6}
    told = {"local": True, "usd_per_million": price, "budget_usd": 1}
    process, place = job(server.url, answers({1: "o"}), answers({1: "b"}), **told)
    log = process.communicate()[0]
    assert process.returncode == 1
    assert log.count("0 of 2 replies are there") == 1
    assert "the judge's budget of 1 USD is spent" in log
    assert not place.exists()
