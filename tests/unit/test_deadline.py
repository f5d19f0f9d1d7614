"""When sessions begin that shall be done by a deadline: by hand, as properties, and what is said
where it cannot be.
"""

import copy
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import product

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from conftest import STUDY
from joulegrid.errors import InputError
from joulegrid.planning import ranges, readiness, submission
from joulegrid.planning.cells import Judged, judged
from joulegrid.planning.deadline import Round, hours_of, rounds, shifted
from joulegrid.planning.making import Effort
from joulegrid.planning.outlook import Outlook, outlook
from joulegrid.study import sites, study
from joulegrid.study.grid import Cell

NOW = datetime(2026, 11, 24, 9, 20, tzinfo=UTC)
# Nothing but weights is made: 10 h, nine times of ten less than 12
TEN = ranges.Range(8.0, 10.0, 12.0)
MADE = {"weights": Effort(1, TEN, TEN, TEN, None, TEN, "defaults")}


def series(begin, hours, values=None):
    time = pd.date_range(begin, periods=hours, freq="h")
    if values is None:  # dirty by day, clean at night, and a little different each day
        values = 300 - 100 * np.cos(2 * np.pi * (time.hour - 14) / 24) + time.day_of_year % 7
    return xr.DataArray(np.asarray(values, float), {"time": time.to_numpy()}, "time")


def certain(*values):
    """An outlook with one case: that which is expected."""
    hours = np.array(values, float)
    return Outlook("hand", hours, hours[None])


def test_a_round_begins_in_the_cleanest_hours():
    """2 h and 3 kWh in 400, 400, 100, 200, 400 g/kWh: 3 × 400 g now, 3 × 150 g from hour 2 on."""
    said = shifted([Round("a", 1, 4, 2.0, 2.0, 3.0)], certain(400, 400, 100, 200, 400), 0, 20)
    assert said.begins == {("a", 1): 2.0}
    assert said.grams == pytest.approx(1200)
    assert said.saved == pytest.approx([0.625] * 3)
    assert said.bound == pytest.approx(said.saved)


def test_the_deadline_holds_for_nine_of_ten():
    """With up to 3 h instead of 2, the last begin before hour 5 is that of hour 2; then of 1."""
    clean_late = certain(400, 300, 200, 100, 100)
    usual = shifted([Round("a", 1, 4, 2.0, 2.0, 1.0)], clean_late, 0, 20)
    slow = shifted([Round("a", 1, 4, 2.0, 3.0, 1.0)], clean_late, 0, 20)
    slower = shifted([Round("a", 1, 4, 2.0, 3.25, 1.0)], clean_late, 0, 20)
    assert [each.begins["a", 1] for each in (usual, slow, slower)] == [3.0, 2.0, 1.75]


def test_rounds_stay_in_their_order_and_one_that_follows_begins_with_the_one_before():
    dirty_between = certain(100, 400, 400, 100, 400, 100, 100)
    one = [Round("a", session, 4, 1.0, 1.0, 1.0) for session in (1, 2, 3)]
    # of the hours with 100 g/kWh the first three
    assert shifted(one, dirty_between, 0, 28).begins == {("a", 2): 3.0, ("a", 3): 5.0}
    follows = certain(400, 100, 100, 100, 400)
    assert shifted(one, follows, 0, 20).begins == {("a", 1): 1.0, ("a", 2): 1.0, ("a", 3): 1.0}


def test_of_hours_that_are_alike_the_first_is_taken_and_nothing_waits_in_vain():
    flat = [Round("a", 1, 1, 0.3, 0.4, 0.1), Round("a", 2, 1, 0.3, 0.4, 0.1)]
    said = shifted(flat, certain(*[0.1 + 0.2] * 30), 1, 100)
    assert said.begins == {}
    assert said.saved == (0.0, 0.0, 0.0)


def test_nobody_waits_for_less_than_one_percent():
    one = [Round("a", 1, 4, 1.0, 1.0, 1.0)]
    assert shifted(one, certain(400, 300, 297.1, 297.1), 0, 16).begins == {("a", 1): 1.0}
    # a quarter of the next hour is needed to come within 1 % of it
    assert shifted(one, certain(400, 300, 296.9, 296.9), 0, 16).begins == {("a", 1): 1.25}


def test_the_first_hour_may_be_over_in_part():
    """Three of its quarters are: 400 g/kWh for one quarter more, then 100."""
    said = shifted([Round("a", 1, 1, 1.0, 1.0, 1.0)], certain(400, 100, 100), 3, 9)
    assert said.begins == {("a", 1): 0.25}
    assert said.grams == pytest.approx((400 + 3 * 100) / 4)


def by_trying(found, values, steps):
    """The least grams of rounds, by trying all begins."""
    takes = [max(int(np.ceil(each.hours * 4)), 1) for each in found]
    most = [max(int(np.ceil(each.most_hours * 4)), 1) for each in found]
    quarters = np.repeat(values, 4)
    least = np.inf
    for begins in product(range(steps), repeat=len(found)):
        ends = [b + t for b, t in zip(begins, takes, strict=True)]
        if all(b >= e for b, e in zip(begins[1:], ends, strict=False)) and all(
            b + sum(most[i:]) <= steps for i, b in enumerate(begins)
        ):
            parts = zip(found, begins, ends, strict=True)
            least = min(least, sum(r.kwh * quarters[b:e].mean() for r, b, e in parts))
    return least


@pytest.mark.parametrize("seed", range(5))
def test_no_other_begins_are_cleaner_by_more_than_one_percent(seed):
    drawn = np.random.default_rng(seed)
    values = drawn.uniform(50, 600, 7)
    hours = drawn.uniform(0.2, 1.4, 3)
    found = [Round("a", n + 1, 2, h, 1.2 * h, drawn.uniform(0.1, 2)) for n, h in enumerate(hours)]
    said = shifted(found, certain(*values), 0, 28)
    least, chosen = by_trying(found, values, 28), said.grams * (1 - said.saved.median)
    assert least <= chosen * (1 + 1e-9)
    assert chosen <= 1.01 * least * (1 + 1e-9)


@pytest.mark.parametrize("seed", range(20))
def test_no_more_is_promised_than_perfect_foresight_saves(seed):
    """Of any outlook, however wrong: in each case, so at each quantile."""
    drawn = np.random.default_rng(seed)
    hours = int(drawn.integers(12, 60))
    known = Outlook("drawn", drawn.uniform(20, 600, hours), drawn.uniform(20, 600, (30, hours)))
    found = [
        Round(entry, session, 3, *(drawn.uniform(0.2, 2.5) * np.array([1, 1.3])), drawn.uniform())
        for entry in "ab"
        for session in (1, 2)
    ]
    steps = 4 * hours - int(drawn.integers(0, 4))
    said = shifted(found, known, 0, steps)
    assert all(saved <= bound + 1e-9 for saved, bound in zip(said.saved, said.bound, strict=True))
    assert min(said.bound) >= -1e-9
    assert said.saved.low <= said.saved.median <= said.saved.high
    for entry in "ab":
        own = [each for each in found if each.hardware == entry]
        begins = [said.begins.get((entry, each.session), 0.0) for each in own]
        left = [sum(each.most_hours for each in own[i:]) for i in range(2)]
        assert begins == sorted(begins)
        assert all(b + most <= steps / 4 + 0.5 for b, most in zip(begins, left, strict=True))


# ---------------------------------------------------------------- what is known of the hours
def test_a_forecast_is_taken_as_it_is_with_an_error_of_forecasts():
    known = outlook(series("2026-11-20", 200), NOW, 30, "f.csv")
    assert known.rests_on == "the forecast f.csv"
    assert known.expected == pytest.approx(series("2026-11-24T09:00", 30).values)
    off = np.abs(known.cases / known.expected - 1)
    assert 0.08 < off.mean() < 0.12  # CarbonX: 9.6 % on average
    assert np.median(known.cases / known.expected) == pytest.approx(1, abs=0.05)


def test_a_past_year_says_what_a_time_of_day_is_worth():
    known = outlook(series("2025-01-01", 8760), NOW, 48, "p.csv")
    assert known.rests_on == "30 days of November in p.csv, no forecast"
    assert known.cases.shape == (30, 48)
    assert known.expected[:24] == pytest.approx(known.expected[24:])
    # the first case began on 1 November 2025 at nine
    assert known.cases[0] == pytest.approx(series("2025-11-01T09:00", 48).values)


@pytest.mark.parametrize(
    ("begin", "hours", "said"),
    [
        ("2026-11-24", 20, "ends at 2026-11-24T20:00 UTC, before the deadline"),
        ("2026-11-24T10:00", 200, "begins at 2026-11-24T10:00 UTC only"),
        ("2026-06-01", 2000, "of November it holds 0 days"),
        ("2026-11-13", 200, "of November it holds 7 days"),
    ],
)
def test_a_series_that_does_not_say_enough_is_named(begin, hours, said):
    with pytest.raises(InputError, match=said):
        outlook(series(begin, hours), NOW, 30, "s.csv")


def test_a_series_of_days_is_no_use():
    with pytest.raises(InputError, match="a value for each hour"):
        outlook(series("2026-11-01", 200)[::24], NOW, 30, "s.csv")


# ---------------------------------------------------------------- rounds of a study
def path_of(cell, session):
    return f"energy/{'/'.join(cell)}/{session}/{'0' * 16}"


@pytest.fixture(scope="module")
def on_boards():
    """The small study on two boards and a CPU, of a model whose sizes are known; its cells as they
    are judged, and the sessions that a run would make: all.
    """
    data = copy.deepcopy(STUDY)
    data["model"] = {"small": {"hub": "openai-community/gpt2", "revision": "0" * 40}}
    data["hardware"] = {
        "a30": {"device": "cuda", "gpu": "A30", "pue": 1.5},
        "a100": {"device": "cuda", "gpu": "A100-SXM4"},
        "cpu": {"device": "cpu"},
    }
    cells = judged(study.from_data(data, "test"), {})
    return data, cells, [path_of(each.cell, session) for each in cells for session in (1, 2)]


def test_rounds_are_those_sessions_of_an_entry_that_would_be_run(on_boards):
    _, cells, to_run = on_boards
    pue = {"a30": 1.5, "a100": 1.0, "cpu": 1.0}
    one, unknown = rounds(cells, to_run, lambda label: 1, pue)
    assert [(each.hardware, each.session, each.jobs) for each in one] == [
        ("a100", 1, 6),
        ("a100", 2, 6),
        ("a30", 1, 6),
        ("a30", 2, 6),
    ]
    assert unknown == ["cpu"]
    # of six the last two begin where two of the first four have ended
    four, _ = rounds(cells, to_run, lambda label: 4, pue)
    a100 = [c.session.seconds / 3600 for c in cells if c.cell.hardware == "a100"]
    first = sorted(a100[:4])
    assert four[0].hours == pytest.approx(max(first[0] + a100[4], first[1] + a100[5], first[3]))
    assert one[0].hours / 4 < four[0].hours < four[0].most_hours
    hundred, _ = rounds(cells, to_run, lambda label: 100, pue)
    own = {entry: [c.session for c in cells if c.cell.hardware == entry] for entry in pue}
    assert hundred[0].hours == pytest.approx(max(each.seconds for each in own["a100"]) / 3600)
    joules = sum(each.joules for each in own["a30"])
    assert one[2].kwh == pytest.approx(1.5 * joules / 3.6e6)
    assert one[2].most_hours == pytest.approx(ranges.seconds(own["a30"]).high / 3600)
    some, _ = rounds(cells, to_run[:3], lambda label: 1, pue)
    assert sum(each.jobs for each in some) < 4


def test_whole_sessions_share_the_places_of_a_cluster(on_boards):
    """Five of an hour each, four at once: the fifth begins when the others end."""
    cells = on_boards[1]
    each = next(each for each in cells if each.cell.hardware == "a30")
    hour = replace(
        each.session, seconds=3600.0, moved=each.session.moved * 3600 / each.session.seconds
    )
    alike = [
        replace(each, cell=each.cell._replace(workload=f"w{n}"), session=hour) for n in range(5)
    ]
    to_run = [path_of(each.cell, 1) for each in alike]

    def round_of(number, at_once):
        (found,), _ = rounds(alike[:number], to_run[:number], lambda label: at_once, {"a30": 1.0})
        return found

    assert round_of(5, 4).hours == pytest.approx(2)
    assert round_of(5, 4).most_hours >= 2
    assert round_of(4, 4).hours == pytest.approx(1)
    high = round_of(1, 1).most_hours
    assert [round_of(4, n).most_hours for n in (4, 100)] == pytest.approx([high, high])


def test_jobs_that_find_that_they_do_not_run_take_no_time():
    cell = Cell("m", "none", "none", "q", "a30", "vllm", "w")
    found, unknown = rounds(
        [Judged(cell, 1, doubtful="too large")], [path_of(cell, 1)], lambda label: 1, {"a30": 1.0}
    )
    assert found == [Round("a30", 1, 1, 0.0, 0.0, 0.0)]
    assert unknown == []
    assert hours_of(found) == {"a30": 0.25}


# ---------------------------------------------------------------- from a study and a site to sbatch
@pytest.fixture
def asked(on_boards, tmp_path):
    """A function that asks for a deadline: of a study, a site file and a file of intensity."""
    file = tmp_path / "grid.csv"
    site = tmp_path / "site.yaml"
    cells, to_run = on_boards[1:]
    of_a30 = cells, [path for path in to_run if "/a100/" not in path]

    def ask(
        deadline="2026-11-26T09:00+00:00",
        site_says="forecast: {file}",
        zones=None,
        known=None,
        making=None,
    ):
        frame = (known if known is not None else series("2026-11-24", 72)).to_series()
        frame.to_csv(file)
        data = dict(on_boards[0])
        if zones is not None:
            data["carbon"] = {"zones": zones(file)}
        if site_says is not None:
            hardware = "hardware: {a30: {slurm_extra: --exclusive}, a100: {}, cpu: {}}"
            said = site_says.replace("{file}", str(file))
            site.write_text(f"{hardware}\n{said}\n")
            data["site"] = str(site)
        read = study.from_data(data, "study.yaml")
        place = sites.load(data.get("site"), read)
        if making is None:
            return submission.planned(read, place, *of_a30, {}, deadline, NOW)
        some, to_run = of_a30
        weights = [f"weights/small/none/none/{label}/{'0' * 16}" for label in making]
        return submission.planned(read, place, some, [*weights, *to_run], MADE, deadline, NOW)

    return ask


def test_a_forecast_moves_the_sessions_and_says_what_that_saves(asked):
    said = asked()
    # intensity is least at 14:00 UTC; both rounds are short, and now it is 9:15
    assert set(said.begins) == {("a30", 1), ("a30", 2)}
    assert {when.hour for when in said.begins.values()} <= {13, 14}
    assert said.unknown == ["cpu"]
    text = "\n".join(submission.lines(said))
    assert "a30, session 1: 6 jobs" in text
    assert "perfect foresight, a bound" in text
    assert "begun as soon as they can: cpu" in text
    assert [row["session"] for row in submission.rows(said)] == [1, 2]
    when = said.begins["a30", 1].astimezone()
    assert submission.options(said)["a30", 1] == f"--begin={when:%Y-%m-%dT%H:%M}:00"


def test_no_session_begins_before_its_weights_are_made(asked, on_boards):
    """At 14:00 UTC the grid is cleanest, and the weights are made at 19:20."""
    quantized = next(each.cell.quantization for each in on_boards[1])
    said = asked(making=[quantized])
    assert said.begins
    assert min(said.begins.values()) >= NOW + timedelta(hours=10)
    assert {when.hour for when in said.begins.values()} <= {13, 14}
    assert "weights made in 10 h" in "\n".join(submission.lines(said))
    assert [row["ready_hours"] for row in submission.rows(said)] == [10, 10]
    with pytest.raises(InputError, match=r"is in 6 h; .* and making their weights \(12 h\) take"):
        asked(deadline="2026-11-24T15:15+00:00", making=[quantized])
    # others are not waited for
    early = asked(deadline="2026-11-24T18:00+00:00", making=["other"])
    assert {when.hour for when in early.begins.values()} <= {13, 14}


def test_what_follows_on_each_other_is_waited_for_one_after_another():
    """Epochs that a longer training goes on with, the weights after it, and what prunes them."""
    lora = {"method": "lora", "epochs": 10, "schedule": "constant"}
    data = {"training": {"none": {"method": "none"}, "ten": lora, "five": {**lora, "epochs": 5}}}
    to_run = [
        f"{labels}/{'0' * 16}"
        for labels in (
            "models/m",
            "training/m/ten",
            "training/m/five",
            "trained/m/ten",
            "pruned/m/ten/p",
        )
    ]

    def effort(hours):
        return Effort(
            1, *[ranges.Range(hours, hours, hours)] * 3, None, ranges.Range(*[hours] * 3), ""
        )

    made = {"training": effort(4.0), "trained": effort(2.0), "pruned": effort(1.0)}
    ready = readiness.of_cells(data, to_run, made)
    assert ready(Cell("m", "ten", "p", "q", "a30", "vllm", "w")).median == 4 + 4 + 2 + 1
    assert ready(Cell("m", "five", "p", "q", "a30", "vllm", "w")).median == 4
    assert ready(Cell("m", "none", "none", "q", "a30", "vllm", "w")).median == 0


def test_rounds_wait_for_weights_in_their_order():
    """Weights after 2 h, clean from the first hour on: both rounds begin when they can."""
    two = [Round("a", session, 4, 1.0, 1.0, 1.0, 2.0, 2.5) for session in (1, 2)]
    assert hours_of(two) == {"a": 4.5}
    clean = shifted(two, certain(100, 100, 400, 400, 400, 400), 0, 24)
    assert (clean.begins, clean.grams, clean.saved.median) == ({}, 800.0, 0.0)
    later = shifted(two, certain(100, 100, 400, 400, 100, 100), 0, 24)
    assert later.begins == {("a", 1): 4.0, ("a", 2): 4.0}
    assert later.saved.median == pytest.approx(0.75)


def test_a_past_series_of_the_zone_of_the_site_does_as_well(asked):
    said = asked(
        site_says="zone: BE\ntime_zone: Europe/Brussels",
        deadline="2026-11-26T10:00",
        zones=lambda file: {"BE": {"series": str(file), "source": "made up"}},
        known=series("2025-01-01", 8760),
    )
    assert said.deadline.utcoffset() == timedelta(hours=1)
    assert "of November in" in said.rests_on
    assert {when.hour for when in said.begins.values()} <= {13, 14}


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ({"deadline": "tomorrow"}, "got 'tomorrow'; expected a time such as"),
        ({"deadline": "2026-11-24T09:00+00:00"}, "is over, it is 2026-11-24T09:20"),
        ({"deadline": "2026-11-24T09:40+00:00"}, "is in 0.25 h; the sessions of a30"),
        ({"deadline": "2026-11-28T09:00+00:00"}, "ends at 2026-11-27T00:00 UTC, before the"),
        ({"site_says": None}, "a cluster begins jobs later, this machine does not"),
        ({"site_says": ""}, "a deadline needs the carbon intensity of the hours to come"),
        ({"site_says": "forecast: /nowhere.csv"}, "forecast: no such file /nowhere.csv"),
        ({"site_says": "zone: DE"}, "zone: study.yaml has no carbon.zones.DE"),
        ({"site_says": "zone: BE"}, "carbon.zones.BE: a deadline needs a series here"),
        ({"site_says": "at_once: {a31: 2}"}, "at_once: no hardware 'a31' in this file"),
        ({"site_says": "node_cpus: {a31: 2}"}, "node_cpus: no hardware 'a31' in this file"),
    ],
)
def test_what_cannot_be_is_said_in_one_message(asked, told, said):
    with pytest.raises(InputError, match=said.replace(".", r"\.")) as error:
        asked(**told)
    assert "\n" not in str(error.value)


def test_a_site_that_says_begin_itself_is_asked_to_choose(asked, monkeypatch):
    monkeypatch.setattr(
        sites.Site, "hardware", lambda self, label: {"slurm_extra": "--begin=20:00"}
    )
    with pytest.raises(InputError, match="says --begin, and a deadline does"):
        asked()
