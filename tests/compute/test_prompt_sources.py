"""Prompts out of data sets in Parquet and JSON, in the shapes that dialogues have on the hub."""

import json
import re
import subprocess
import sys

import pyarrow as pa
import pytest
from pyarrow import parquet

from conftest import ROOT
from helpers import hubs
from joulegrid.errors import InputError
from joulegrid.records import identity
from joulegrid.texts import sources

REVISION = "0123456789abcdef0123456789abcdef01234567"
# as DailyDialog has them: a list of utterances; the words are our own
DIALOGUES = [
    {"dialog": ["Shall we walk ? ", "Gladly ."], "topic": 1},
    {"dialog": ["Hi ."], "topic": 2},
    {"dialog": ["Where is the station ?", "Left ."], "topic": 1},
    {"dialog": [], "topic": 1},
    {"dialog": ["My train is late again .", "Oh no ."], "topic": 2},
]
# as ShareGPT has them
CHATS = [
    {"id": "a", "conversations": [{"from": "gpt", "value": "Hello"}]},
    {
        "id": "b",
        "conversations": [
            {"from": "system", "value": "Be brief."},
            {"from": "human", "value": "Name three rivers.\u2028In Asia."},
            {"from": "gpt", "value": "…"},
        ],
    },
    {"id": "c", "conversations": [{"from": "human", "value": "  "}]},
]


@pytest.fixture
def folder(tmp_path):
    """Parquet in two files, JSON lines and one JSON list."""
    place = tmp_path / "data"
    (place / "plain").mkdir(parents=True)
    for number, rows in enumerate((DIALOGUES[:3], DIALOGUES[3:])):
        table = pa.Table.from_pylist(rows)
        parquet.write_table(table, place / "plain" / f"train-0000{number}.parquet")
    parquet.write_table(
        pa.Table.from_pylist([{"dialog": ["Of the test ."], "topic": 1}]),
        place / "plain/test-00000.parquet",
    )
    lines = [json.dumps(row, ensure_ascii=False) for row in CHATS]
    (place / "chats.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (place / "chats.json").write_text(json.dumps(CHATS), encoding="utf-8")
    (place / "load.py").write_text("raise SystemExit('ran')")
    return place


def entry(folder, **changes):
    first = {
        "path": str(folder),
        "files": "plain/train-*.parquet",
        "column": "dialog",
        "take": "first",
        "where": {},
        "min_characters": 1,
        "seed": 0,
    }
    return {**first, **changes}


def test_the_first_sentences_of_dialogues_in_parquet(folder):
    found, facts = sources.prompts(entry(folder))
    assert found == [
        "Shall we walk ?",
        "Hi .",
        "Where is the station ?",
        "My train is late again .",
    ]
    assert (facts["rows"], facts["suitable"]) == (5, 4)
    assert list(facts["files"]) == ["plain/train-00000.parquet", "plain/train-00001.parquet"]


def test_rows_are_filtered_by_columns_and_length(folder):
    assert sources.prompts(entry(folder, where={"topic": 1}))[0] == [
        "Shall we walk ?",
        "Where is the station ?",
    ]
    assert len(sources.prompts(entry(folder, where={"topic": [1, 2]}))[0]) == 4
    found, facts = sources.prompts(entry(folder, min_characters=5, max_characters=16))
    assert (found, facts["suitable"]) == (["Shall we walk ?"], 1)


@pytest.mark.parametrize("file", ["chats.jsonl", "chats.json"])
def test_the_first_turn_of_a_human_in_json(folder, file):
    chosen = entry(folder, files=file, column="conversations", take="human")
    assert sources.prompts(chosen)[0] == ["Name three rivers.\u2028In Asia."]


def test_the_same_seed_draws_the_same_prompts(folder):
    draws = {tuple(sources.prompts(entry(folder, count=2, seed=s))[0]) for s in range(12)}
    assert sources.prompts(entry(folder, count=2))[0] in [list(draw) for draw in draws]
    assert sources.prompts(entry(folder, count=2)) == sources.prompts(entry(folder, count=2))
    assert len(draws) > 1
    order = [row["dialog"][0].strip() for row in DIALOGUES if row["dialog"]]
    assert all(order.index(a) < order.index(b) for a, b in draws)


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"files": "plain/dev-*.parquet"}, "there: chats.json, chats.jsonl, load.py"),
        ({"files": "load.py"}, "no .parquet, .jsonl, .json file of that name"),
        ({"column": "dialogue"}, "no column 'dialogue'; there: dialog, topic"),
        ({"where": {"language": "en"}}, "no column 'language'; there: dialog, topic"),
        ({"take": "whole"}, "row 1: dialog: expected a text, got list; take: first or human"),
        ({"column": "topic"}, "row 1: topic: expected a list of turns, got int"),
        ({"files": "chats.jsonl"}, "chats.jsonl:1: no column 'dialog'; there: id, conversations"),
        ({"count": 9}, "4 prompts are suitable, expected 9"),
        ({"min_characters": 99}, "0 prompts are suitable, expected 1"),
        ({"path": "nowhere"}, "nowhere: no such folder"),
    ],
)
def test_what_does_not_fit_the_data_is_said(folder, changes, part):
    with pytest.raises(InputError, match=re.escape(part)) as caught:
        sources.prompts(entry(folder, **changes))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "part"),
    [
        (b"PAR1 not really", "x.parquet: not a Parquet file"),
        (b'{"dialog": ["a"]}\nprose\n', "x.jsonl:2: not JSON"),
        (b"\xff\xfe{}", "x.jsonl: not a text in UTF-8"),
        (b'["a"]\n', "x.jsonl:1: expected an object of columns, got str"),
    ],
)
def test_damaged_files_are_named(tmp_path, content, part):
    name = part.split(":")[0]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=re.escape(part)):
        sources.prompts(entry(tmp_path, files=name))


TICKETS = [
    {"problem": "Link down", "solution": "A splice", "team": "fibre", "seen": 3},
    {"problem": "No route", "solution": "A reset", "team": "core", "seen": None},
    {"problem": "Alarm", "solution": None, "team": "fibre", "seen": 1},
]


def rows_of(place, **changes):
    first = {"path": str(place), "files": "*.parquet", "columns": ["problem", "solution"]}
    return {**first, "where": {}, "seed": 0, **changes}


def test_rows_have_the_columns_that_are_named_of_those_that_are_wanted(tmp_path):
    parquet.write_table(pa.Table.from_pylist(TICKETS), tmp_path / "t.parquet")
    found, facts = sources.rows(rows_of(tmp_path, where={"team": "fibre"}))
    assert found == [
        {"problem": "Link down", "solution": "A splice"},
        {"problem": "Alarm", "solution": None},
    ]
    assert (facts["rows"], facts["suitable"], list(facts["files"])) == (3, 2, ["t.parquet"])
    both = rows_of(tmp_path, columns=["team", "seen"], where={"team": ["core"]})
    assert sources.rows(both)[0] == [{"team": "core", "seen": None}]
    assert len(sources.rows(rows_of(tmp_path, count=2))[0]) == 2


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"columns": ["problem", "cause"]}, "t.parquet: no column 'cause'; there: problem, sol"),
        ({"where": {"tean": "fibre"}}, "t.parquet: no column 'tean'"),
        ({"where": {"team": "radio"}}, "0 rows are suitable, expected 1; ask for fewer, or loosen"),
        ({"count": 4}, "3 rows are suitable, expected 4"),
        ({"columns": ["raw"]}, "t.parquet: row 1: raw: Object of type bytes is not JSON"),
        ({"columns": ["share"]}, "t.parquet: row 1: share: Out of range float values are not JSON"),
    ],
)
def test_rows_that_cannot_be_had_are_said(tmp_path, changes, part):
    odd = [{**row, "raw": b"\xff", "share": float("nan")} for row in TICKETS]
    parquet.write_table(pa.Table.from_pylist(odd), tmp_path / "t.parquet")
    with pytest.raises(InputError, match=re.escape(part)) as caught:
        sources.rows(rows_of(tmp_path, **changes))
    assert "\n" not in str(caught.value)


def test_rows_come_out_of_the_cache_of_the_hub_without_a_network(tmp_path, monkeypatch):
    """As snapshot_download leaves a data set: links to files that are called by their hash."""
    kept = tmp_path / "cache/datasets--team--tickets"
    blob, place = kept / "blobs/abc", kept / f"snapshots/{REVISION}/data"
    for folder in (blob.parent, place, kept / "refs"):
        folder.mkdir(parents=True)
    parquet.write_table(pa.Table.from_pylist(TICKETS), blob)
    (place / "train-0.parquet").symlink_to(blob)
    (place.parent / "tickets.py").write_text("raise SystemExit('ran')")
    (kept / "refs/main").write_text(REVISION)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    chosen = rows_of("", hub="team/tickets", revision=REVISION, files="data/train-*.parquet")
    del chosen["path"]
    done, target = fetched(tmp_path, chosen, "rows")
    assert done.returncode == 0, done.stdout + done.stderr
    rows = [json.loads(line) for line in target.read_text().splitlines()]
    assert rows == [{k: row[k] for k in ("problem", "solution")} for row in TICKETS]
    assert json.loads(target.with_suffix(".json").read_text())["count"] == 3


def fetched(tmp_path, chosen, kind="prompts"):
    spec = {"kind": kind, kind: chosen}
    target = tmp_path / f"out/{identity(spec)}.jsonl"
    record = target.with_suffix(".json")
    options = ["--spec", json.dumps(spec), "--prompts", target, "--output", record]
    command = [sys.executable, "scripts/fetch_prompts.py", *options]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return done, target


def test_a_data_set_comes_from_the_hub_without_its_code(folder, tmp_path, monkeypatch):
    files = {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    cache = tmp_path / "cache"
    chosen = entry(folder, hub="team/talk", revision=REVISION, count=3)
    del chosen["path"]
    with hubs.serving("team/talk", REVISION, files, cache, monkeypatch, "datasets") as seen:
        done, target = fetched(tmp_path, chosen)
    assert done.returncode == 0, done.stdout + done.stderr
    record = json.loads(target.with_suffix(".json").read_text())
    prompts = [json.loads(line)["prompt"] for line in target.read_text().splitlines()]
    assert prompts == sources.prompts(entry(folder, count=3))[0]
    assert (record["count"], record["spec"]["prompts"]) == (3, chosen)
    there = {p.name for p in cache.rglob("snapshots/*/plain/*")}
    assert there == {"train-00000.parquet", "train-00001.parquet"}
    assert not list(cache.rglob("load.py"))
    assert all(token == f"Bearer {hubs.TOKEN}" for path, token in seen if "talk" in path)
    assert hubs.TOKEN not in done.stdout + done.stderr + json.dumps(record)
