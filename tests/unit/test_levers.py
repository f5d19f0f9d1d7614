"""Compress, move, shift: what each saves, and where compressing and moving are even."""

import statistics

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from joulegrid.analysis import begin, carbon, footprint, intensity, levers
from joulegrid.report import beside, figures
from joulegrid.report import levers as shown
from joulegrid.study import embodied
from unit.test_carbon import days
from unit.test_comparison import BASELINE, DATA, METRICS, compare, tree

# Electricity Maps 2024, as Dosquet 2025 has them
GRAMS = {"BE": 153.14, "DE": 333.77, "FR": 33.44, "NL": 262.93}
ZONES = {
    code: {"intensity_g_per_kwh": g, "source": "Dosquet 2025", "year": 2024, "basis": "life cycle"}
    for code, g in GRAMS.items()
}


def of(data, **ranking):
    return compare(data, 0.7, BASELINE, METRICS, **ranking)


RANKED = of(DATA)


def weighed(zones=ZONES, grid=None, data=DATA, pue=1.5, **ranking):
    """The tree as the report reads it, with all groups that the levers have."""
    made = data.copy()
    made["ranking"] = xr.DataTree(RANKED if data is DATA and not ranking else of(data, **ranking))
    made["carbon"] = xr.DataTree(carbon.account(data, zones, {"h": pue}))
    grid = xr.Dataset() if grid is None else grid
    parts = (made[name].to_dataset() for name in ("ranking", "carbon"))
    if found := levers.account(data, *parts, grid):
        made["levers"] = xr.DataTree(found)
    return made


def test_each_lever_by_hand():
    found = weighed()["levers"].to_dataset()
    # joules of the fixture: the share saved is φ, whatever PUE and zone
    phi = weighed()["ranking"].efficiency
    np.testing.assert_allclose(found.compress, phi)
    assert found.move.sel(zone="NL", to="BE").item() == pytest.approx(1 - 153.14 / 262.93)
    # Dosquet's widest gap between countries: Germany emits ten times what France does
    assert 1 / (1 - found.move.sel(zone="DE", to="FR").item()) == pytest.approx(9.98, abs=0.01)
    assert (np.diag(found.move) == 0).all()
    assert "shift" not in found


def test_what_remains_after_two_levers_is_the_product():
    made = weighed()
    found = made["levers"].to_dataset()
    grams = made["carbon"].emissions.squeeze()
    left = (1 - found.compress.sel(quantization="half").item()) * (
        1 - found.move.sel(zone="DE", to="FR").item()
    )
    full, there = (
        grams.sel(quantization="full", zone="DE"),
        grams.sel(quantization="half", zone="FR"),
    )
    assert there.item() / full.item() == pytest.approx(left)


def test_emissions_are_of_all_components_whatever_is_ranked():
    one = weighed()["levers"].compress
    other = weighed(net=True)["levers"].compress
    xr.testing.assert_allclose(one, other)


def test_shifting_is_between_a_day_old_hour_and_foresight():
    """40 g in the first hour of each day, 100 else: one hour within 24 goes from 97.5 to 40."""
    series = days(60, [40, *[100] * 23])
    grid = carbon.starts(series).to_dataset(name="start_intensity").expand_dims(zone=["BE"])
    found = weighed(grid=grid)["levers"]["shift"]
    one = found.sel(zone="BE", job_hours=1, slack_hours=24)
    assert one.sel(start="foresight").item() == pytest.approx(1 - 40 / 97.5, abs=0.001)
    assert found.sel(zone="NL").isnull().all()
    # one zone with hours is two levers, and nowhere to move to
    made = weighed({"BE": ZONES["BE"]}, grid)
    assert set(shown.lever_frame(made)["lever"]) == {"compress", "shift"}
    assert shown.sentences(made) == []


def test_moving_reaches_as_far_as_95_percent_of_its_hours():
    """Of the hours that both have; by the quantiles of the standard library."""
    draws, month = np.random.default_rng(0), days(30)
    here = month.copy(data=draws.uniform(200, 400, month.size))
    there = month.copy(data=draws.uniform(20, 60, month.size)).isel(time=slice(240, None))
    shares = [1 - g / full for g, full in zip(there.values, here.values[240:], strict=True)]
    cuts = statistics.quantiles(shares, n=40, method="inclusive")
    series = {"DE": here, "FR": there}
    grid = xr.concat([carbon.starts(one) for one in series.values()], "zone")
    grid = grid.assign_coords(zone=list(series)).to_dataset(name="start_intensity")
    made = weighed(grid=grid.assign(hourly_ratio=intensity.ratios(series)))
    bounds = made["levers"].move_hours
    found = bounds.sel(zone="DE", to="FR").values
    np.testing.assert_allclose(found, [cuts[0], cuts[-1]])
    assert bounds.sel(to="BE").isnull().all()
    # by hand for two that differ by a factor alone
    np.testing.assert_allclose(
        intensity.ratios({"A": here, "B": here * 3}).sel(zone="A", to="B"), 3
    )
    rows = shown.lever_frame(made).query("lever == 'move'").set_index("zone")
    assert rows.loc["DE", ["low", "high"]].tolist() == pytest.approx([cuts[0], cuts[-1]])
    assert "95 % of the hours" in rows.loc["DE", "what"]
    # NL has no hours: nothing is known, and nothing drawn
    assert rows.loc["NL", "what"].endswith("without an interval")
    assert rows.loc["NL", "low"] == rows.loc["NL", "high"] == rows.loc["NL", "saved"]


def test_of_less_than_a_week_of_common_hours_nothing_is_said():
    month = days(30, range(1, 25))
    few = intensity.ratios({"A": month, "B": month.isel(time=slice(100))})
    assert few.sel(zone="A", to="B").isnull().all()
    dark = month.where(month.time.dt.day < 6, 0)
    assert intensity.ratios({"A": dark, "B": month}).sel(zone="A").isnull().all()


def test_direct_and_life_cycle_figures_are_not_weighed_against_each_other():
    zones = {**ZONES, "FR": {**ZONES["FR"], "basis": "direct"}}
    made = weighed(zones)
    assert made["levers"].move.sel(zone="DE", to="FR").isnull()
    assert all("FR" not in line.partition(": ")[2] for line in shown.sentences(made))


def test_compressed_in_one_zone_equals_full_in_another():
    """What saves 41.76 % in NL emits as much as the whole model does in BE."""
    saved = 1 - 153.14 / 262.93
    assert levers.even_at(262.93, saved) == pytest.approx(153.14)
    others = {"BE": 153.14, "DE": 333.77, "FR": 33.44}
    text = levers.break_even(262.93, others, "NL", saved, 0.04, ("nf4", "full"))
    assert text == (
        "nf4 in NL (262.9 g/kWh) emits as much as full in a zone with 153.1 ± 10.5 g/kWh: more "
        "than in FR, as much as in BE, less than in DE."
    )
    alone = levers.break_even(262.93, {}, "NL", 0.5, float("nan"), ("nf4", "full"))
    assert alone.endswith("in a zone with 131.5 g/kWh.")


def test_the_figure_has_three_levers_and_their_intervals():
    grid = carbon.starts(days(60)).to_dataset(name="start_intensity").expand_dims(zone=["DE"])
    frame = shown.lever_frame(weighed(grid=grid))
    assert set(frame["lever"]) == {"compress", "move", "shift"}
    assert ((frame["low"] <= frame["saved"]) & (frame["saved"] <= frame["high"])).all()
    # nowhere is cleaner than FR, and only DE has hours
    assert "move" not in set(frame[frame["zone"] == "FR"]["lever"])
    assert set(frame[frame["lever"] == "shift"]["zone"]) == {"DE"}
    drawn = figures.levers.chart(frame, 600).to_dict()
    assert len(drawn["layer"]) == 2
    assert len(next(iter(drawn["datasets"].values()))) == len(frame)
    # in the page it is as wide as there is room, also with several places
    two = pd.concat([frame, frame.assign(place="there")])
    assert figures.fitted(figures.levers.chart(two, 600).to_dict())["width"] == "container"


def test_one_zone_without_hours_leaves_no_empty_place():
    made = weighed({"BE": ZONES["BE"]})
    assert "levers" not in made.children
    assert shown.sentences(made) == []


def test_where_the_baseline_is_best_nothing_is_called_compressing():
    worse = tree([[100, 101], [200, 201], [300, 301]], [0.9, 0.8, 0.7], [20, 21, 22])
    made = weighed(data=worse)
    assert len(shown.compressed(made)) == 0
    assert set(shown.lever_frame(made)["lever"]) <= {"move"}
    assert shown.sentences(made) == []


# ---------------------------------------------------------------- what the page says beside
def test_what_does_not_meet_the_requirements_is_not_the_best_of_its_place():
    """`half` saves most and has the highest score, at 0.8 of the baseline's quality."""
    assert list(beside.best_of_places(weighed())["quantization"]) == ["half"]
    made = weighed(min_quality=0.9)
    assert list(beside.best_of_places(made)["quantization"]) == ["full"]
    assert len(shown.compressed(made)) == 0


def test_the_page_has_a_column_for_each_figure_and_their_sources():
    made = weighed({"BE": ZONES["BE"]})
    machines = {
        "embodied": {"h": {**embodied.PRESETS["bloom"], "server_share": 1.0, "gpus": 0}},
        "water": {"h": {"litres_per_kwh": 1.8, "source": "report, 2024"}},
    }
    found = footprint.account(DATA, made["carbon"].to_dataset(), ZONES, machines)
    made["footprint"] = xr.DataTree(found)
    table = beside.footprint(made)
    (row,) = table["rows"]
    at = dict(zip(table["numbers"], row["numbers"], strict=True))
    parts = at["operational, g per 1,000 tokens"] + at["embodied, g per 1,000 tokens"]
    assert at["SCI, g per 10⁶ tokens"] == pytest.approx(1000 * parts)
    assert not any("market" in head for head in at)
    assert "water (h): report, 2024" in table["sources"]


def test_a_study_without_these_numbers_has_no_such_table():
    assert beside.footprint(weighed()) == {}
    assert beside.begins(weighed()) == {}


def test_the_page_tells_when_to_begin_for_every_month_and_the_last_measured():
    series = days(60, [100] * 12 + [40] + [100] * 11)
    grid = xr.merge([begin.begins(series, (1, 6), "Europe/Brussels"), starts_of(series)])
    made = weighed({"BE": ZONES["BE"]})
    made["grid"] = xr.DataTree(grid.expand_dims(zone=["BE"]).assign_attrs(time_zone=""))
    made["energy"]["started"] = made["energy"].host.copy().astype("O").where(False, "2026-02-03T04")
    table = beside.begins(made)
    assert [row["job_hours"] for row in table["rows"]] == [1, 6]
    assert table["rows"][0]["times"] == ["13:00", "13:00", *["–"] * 10]
    assert "UTC" in table["clock"]
    assert table["sentences"][0].startswith("In BE a job of 6 h was cleanest in February")
    # what was measured last counts, not the last month of any year
    made["energy"].started.values.ravel()[0] = "2025-12-30T04"
    assert beside.begins(made)["sentences"] == table["sentences"]


def starts_of(series):
    return carbon.starts(series).sel(job_hours=[1, 6]).to_dataset(name="start_intensity")
