"""Tasks in which a judge compares answers: what a change makes anew, what is refused, and what
becomes of replies in the dataset.
"""

import json
import math
import os
from types import SimpleNamespace

import numpy as np
import pytest
import xarray as xr

from conftest import ROOT
from helpers.questions import SAF
from joulegrid.analysis import metric_changes, samples
from joulegrid.analysis.judging import sentences
from joulegrid.analysis.judgments import Arenas
from joulegrid.analysis.reading import Records
from joulegrid.analysis.variables import STATUS
from joulegrid.errors import InputError
from joulegrid.study import study
from joulegrid.study.grid import CONFIGURATION_AXES, Configuration
from joulegrid.study.shelf import jobs_of
from joulegrid.study.specs import Specs

pytestmark = pytest.mark.usefixtures("library")

JUDGE = {"model": "umpire", "endpoint": "http://127.0.0.1:1/v1"}
ARENA = {
    "method": "arena",
    "answers": "saf",
    "baseline": {"quantization": "fp32"},
    "judge": JUDGE,
}


def with_arena(data, **changes):
    data["quality"] = {"saf": SAF, "arena": {**ARENA, **changes}}
    data["ranking"] = {"baseline": {"quantization": "fp32"}}
    return data


def jobs(data, **changes):
    """The jobs that answer and judge."""
    planned = Specs(study.from_data(with_arena(data, **changes), "study.yaml"))
    return {job.path for job in jobs_of(planned) if job.kind in ("texts", "judgments")}


def judged(data, **changes):
    """The paths of those that ask a judge."""
    return {path for path in jobs(data, **changes) if path.startswith("judgments/")}


def names(paths):
    return {path.split("/", 2)[2].rsplit("/", 2)[0] for path in paths}


def test_some_cells_need_the_answers_that_theirs_are_judged_against(study_data):
    planned = Specs(study.from_data(with_arena(study_data), "study.yaml"))
    nf4 = [cell for cell in planned.study.cells if cell[2:4] == ("half", "nf4")]
    found = {job.path for job in jobs_of(planned, nf4)}
    assert names(path for path in found if path.startswith("judgments/")) == {"none/half/nf4"}
    assert names(path for path in found if path.startswith("texts/")) == {
        "none/half/nf4",
        "none/none/fp32",
    }
    assert found < {job.path for job in jobs_of(planned)}


def test_every_configuration_but_the_baseline_is_judged_against_it(study_data):
    assert names(judged(study_data)) == {
        "none/none/nf4",
        "none/none/gptq4",
        "none/half/fp32",
        "none/half/nf4",
        "none/half/gptq4",
    }


def test_a_new_configuration_adds_its_own_and_invalidates_none(study_data):
    before = judged(study_data)
    study_data["quantization"]["int8"] = {"method": "llm-int8"}
    after = judged(study_data)
    assert before < after
    assert names(after - before) == {"none/none/int8", "none/half/int8"}


@pytest.mark.parametrize(
    "running",
    [
        {"endpoint": "https://elsewhere.example/v1"},
        {"key_variable": "KEY", "concurrency": 9, "timeout_seconds": 5, "retries": 1},
        {"usd_per_million": {"read": 1, "written": 2}, "budget_usd": 3},
    ],
)
def test_where_a_judge_is_asked_and_what_it_costs_invalidates_nothing(study_data, running):
    assert judged(study_data, judge={**JUDGE, **running}) == judged(study_data)


@pytest.mark.parametrize(
    "changes",
    [
        {"judge": {**JUDGE, "model": "referee"}},
        {"judge": {**JUDGE, "revision": "2"}},
        {"judge": {**JUDGE, "max_tokens": 7}},
        {"baseline": {"quantization": "fp32", "pruning": "half"}},
    ],
)
def test_another_judge_or_baseline_asks_anew(study_data, changes):
    assert not judged(study_data) & judged(study_data, **changes)


def test_another_template_asks_anew_and_generates_nothing(study_data, tmp_path):
    prompt = tmp_path / "short.txt"
    prompt.write_text("{question}\n{answer_a}\n{answer_b}\nEnd with [[A>B]] or the like.")
    before = jobs(study_data)
    new = jobs(study_data, judge={**JUDGE, "prompt": str(prompt)}) - before
    assert new
    assert new == {path for path in new if path.startswith("judgments/")}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"answers": "sfa"}, r"quality\.arena\.answers: no task 'sfa' .*did you mean 'saf'"),
        ({"answers": "arena"}, r"quality\.arena\.answers: no task 'arena' of the method generat"),
        ({"baseline": {"quantization": "fp23"}}, r"baseline\.quantization: no .*mean 'fp32'"),
        ({"judge": {**JUDGE, "budget_usd": 1}}, r"judge\.usd_per_million: the key is missing"),
        ({"judge": {**JUDGE, "endpoint": "http://me:pw@host/v1"}}, r"without name or password"),
        ({"judge": {**JUDGE, "key": "sk-1"}}, r"key"),
        ({"judge": {**JUDGE, "prompt": "config/texts/evaluation.txt"}}, r"expected {question}, "),
        ({"judge": {**JUDGE, "prompt": "config/prompts/jugde.txt"}}, r"mean 'config/prompts/judge"),
    ],
)
def test_a_task_that_cannot_be_is_refused(study_data, changes, message):
    with pytest.raises(InputError, match=message):
        judged(study_data, **changes)


def test_a_baseline_must_be_in_the_grid(study_data):
    study_data["grid"] = {"exclude": [{"quantization": "nf4", "pruning": "none"}]}
    with pytest.raises(InputError, match=r"quality\.arena\.baseline: .* is excluded from the grid"):
        judged(study_data, baseline={"quantization": "nf4"})


def test_the_win_rate_alone_counts_unless_more_is_named(study_data):
    made = study.from_data(with_arena(study_data), "study.yaml")
    assert made.data["ranking"]["metrics"] == ["arena.win_rate"]


@pytest.mark.parametrize("name", ["agreement", "first_preferred", "unreadable"])
def test_how_a_judge_judges_ranks_nothing(study_data, name):
    data = with_arena(study_data)
    data["ranking"]["metrics"] = ["arena.win_rate_same_style"]
    made = study.from_data(data, "study.yaml")
    assert made.data["ranking"]["metrics"] == ["arena.win_rate_same_style"]
    data["ranking"]["metrics"] = [f"arena.{name}"]
    message = (
        rf"ranking\.metrics: arena\.{name} says how the judge judges, .* expected arena\.win_r"
    )
    with pytest.raises(InputError, match=message):
        study.from_data(data, "study.yaml")


def configuration(quantization):
    return Configuration("tiny", "none", "none", quantization)


@pytest.fixture
def row(study_data, tmp_path):
    """A function that gives the row of a configuration, out of the records of some."""
    study_data["pruning"] = {"none": {"method": "none"}}
    planned = Specs(study.from_data(with_arena(study_data), "study.yaml"))

    def of(asked, judgments):
        for quantization, found in judgments.items():
            job = planned.judgments(configuration(quantization), "arena")
            record = {"schema_version": 2, "status": "ok", "id": job.id, "elapsed_s": 1.0, **found}
            path = tmp_path / f"{job.id}.json"
            path.write_text(json.dumps(record))
        shelf = SimpleNamespace(record=lambda job: there(tmp_path / f"{job.id}.json"))
        return Arenas(planned, Records(shelf)).row(configuration(asked), "arena")

    return of


def there(path):
    return os.path.relpath(path, ROOT) if path.exists() else None


def replies(*pairs, lines=(1, 2, 3, 4)):
    """What a record holds of these replies, text or (text, finish), to the first lines."""
    told = [[r if isinstance(r, tuple) else (r, "stop") for r in pair] for pair in pairs]
    return {
        "lines": list(lines),
        "usage": {"cost_usd": 0.5},
        "judgments": [
            {
                "line": line,
                "own": "x " * line,
                "baseline": "y",
                "replies": [{"text": text, "finish": finish} for text, finish in pair],
            }
            for line, pair in zip(lines, told, strict=False)
        ],
    }


def test_replies_become_a_win_rate_with_its_samples(row):
    found = row(
        "nf4",
        {
            "nf4": replies(
                ("so [[B>>A]]", "[[A>B]]"),  # 4 of 4 points
                ("[[A=B]]", "[[A>B]] no, [[B>A]]"),  # contradicts itself
                ("[[A>B]]", "[[B>A]]"),  # 0 of 2
                (("[[B>A]] and", "length"), ("400: [[A>B]] too long", "refused")),
            )
        },
    )
    metrics = found["metrics"]
    rate = metrics["arena.win_rate"]
    assert rate.value == pytest.approx(100 * 4 / 6)
    assert rate.samples.total == [400, 0, 0, 0]
    assert rate.samples.weight == [4, 0, 2, 0]
    assert metrics["arena.agreement"].value == 1
    assert metrics["arena.unreadable"].value == 3 / 8
    assert not metrics["arena.unreadable"].higher_is_better
    assert "2 of 4 questions judged in both orders; win rate 66.7, 95 % inter" in found["notes"]
    assert "replies without a verdict, left out: 3;" in found["notes"]
    assert "0.5 USD" in found["notes"]


def test_the_baseline_has_half_of_the_points_on_the_same_questions(row):
    found = row("fp32", {"gptq4": replies(("[[A=B]]", "[[A=B]]"))})
    rate = found["metrics"]["arena.win_rate"]
    assert (rate.value, rate.stderr) == (50, 0)
    assert rate.samples.total == [50] * 4
    assert STATUS[found["status"]] == "ok"


def test_the_win_rate_of_one_style_has_its_own_interval_against_the_baseline(row):
    random = np.random.default_rng(0)
    labels = ["A>>B", "A>B", "A=B", "B>A", "B>>A"]
    pairs = [[f"[[{random.choice(labels)}]]" for _ in range(2)] for _ in range(60)]
    pairs[7][0] = "no verdict"
    told = replies(*pairs, lines=range(1, 61))
    for judgment in told["judgments"]:
        judgment["own"] = "x " * int(random.integers(1, 30))
    own, base = (row(label, {"nf4": told})["metrics"] for label in ("nf4", "fp32"))
    name = "arena.win_rate_same_style"
    assert (base[name].value, base[name].stderr) == (50, 0)
    rows = {configuration("fp32"): base[name].samples, configuration("nf4"): own[name].samples}
    axes = dict(
        zip(CONFIGURATION_AXES, (["tiny"], ["none"], ["none"], ["fp32", "nf4"]), strict=True)
    )
    values = np.array([base[name].value, own[name].value]).reshape(1, 1, 1, 2, 1)
    quality = xr.Dataset(
        {"quality": ((*axes, "metric"), values), "direction": ("metric", [1])},
        coords={**axes, "metric": [name]},
    )
    group = samples.group(axes, {name: rows})
    tree = xr.DataTree.from_dict({"/quality": quality, "/samples/arena": group})
    changes = metric_changes.account(tree, {"quantization": "fp32"}).squeeze()
    of_nf4 = changes.sel(quantization="nf4")
    assert of_nf4.difference.item() == pytest.approx(own[name].value - 50)
    assert of_nf4.samples.item() == 59
    assert of_nf4.difference_ci95.item() == pytest.approx(2.0 * own[name].stderr, rel=0.1)
    assert of_nf4.change_ci95.item() == pytest.approx(of_nf4.difference_ci95.item() / 50)


def test_a_judge_who_says_nothing_gives_no_score(row):
    found = row("nf4", {"nf4": replies(("I cannot", "judge"), ("[[C>D]]", ""))})
    rate = found["metrics"]["arena.win_rate"]
    assert (rate.value, rate.stderr, rate.samples) == (None, None, None)
    assert rate.reason.startswith("4 of 4 replies of the judge have no verdict")
    assert found["metrics"]["arena.unreadable"].value == 1


def test_a_reply_that_a_filter_cut_has_no_verdict(row):
    cut = ("[[A>B]] would be too", "content_filter")
    metrics = row("nf4", {"nf4": replies(("[[A=B]]", "[[A=B]]"), ("[[B>A]]", cut))})["metrics"]
    assert metrics["arena.unreadable"].value == 1 / 4
    assert metrics["arena.win_rate"].samples.weight == [2, 0, 0, 0]


def test_judgments_that_are_not_there_are_missing(row):
    found = row("nf4", {})
    assert STATUS[found["status"]] == "missing"
    assert "metrics" not in found


@pytest.mark.parametrize(
    ("shares", "said"),
    [
        (
            {"agreement": [0.0, 0.2], "first_preferred": [0.9, 0.9], "unreadable": [0, 0.5]},
            "umpire. What energy they took is not known. 25% of its replies have no verdict and "
            "are left out. With the answers swapped it names the same winner, or both times none, "
            "for 10% of the questions (0% to 20% by configuration). Of its winners 90% stood "
            "first. For most the order decides, so that win rates say little.",
        ),
        (
            {"agreement": [0.8], "first_preferred": [0.5], "unreadable": [0]},
            "for 80% of the questions. Of its winners 50% stood first.",
        ),
        (
            {"agreement": [math.nan], "first_preferred": [math.nan], "unreadable": [1]},
            "not known. 100% of its replies have no verdict and are left out.",
        ),
    ],
)
def test_what_a_judge_is_worth_is_said(shares, said):
    dims, size = ("task", "quantization"), len(shares["agreement"])
    sums = {"replies": 8, "metered": 0, "duration": 0, "tokens_read": 0, "tokens_written": 0}
    asked = {**sums, "price": float("nan"), "judge": "umpire"}
    judging = xr.Dataset(
        {name: (dims, [[value] * size]) for name, value in asked.items()}, {"task": ["arena"]}
    )
    quality = xr.Dataset(
        {"quality": (("metric", "quantization"), list(shares.values()))},
        {"metric": [f"arena.{name}" for name in shares]},
    )
    (text,) = sentences(judging, quality)
    assert text.startswith(f"arena: {8 * size} replies of umpire.")
    assert text.endswith(said)
