"""Emissions against published numbers."""

import os
import sys
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import shift_savings
from joulegrid.analysis import begin, carbon, footprint, intensity
from joulegrid.analysis.concluded import FOOTPRINT, GRID
from joulegrid.errors import InputError
from joulegrid.study import embodied, sites
from joulegrid.study import zones as zones_of
from joulegrid.study.validation import schema_of
from joulegrid.units import J_PER_KWH
from unit.test_comparison import DATA


# Dosquet 2025: Mistral Small 3, full, setup 1: 1.7877 kWh; intensities of Electricity Maps, 2024
@pytest.mark.parametrize(
    ("intensity", "grams"), [(153.14, 274), (333.77, 597), (33.44, 60)], ids=["BE", "DE", "FR"]
)
def test_published_emissions(intensity, grams):
    assert carbon.emissions_g(1.7877 * J_PER_KWH, intensity) == pytest.approx(grams, abs=0.5)


def test_every_cell_in_every_zone_with_its_pue():
    zones = {
        "B": {"intensity_g_per_kwh": 360.0, "source": "s", "year": 2024, "basis": "direct"},
        "A": {"intensity_g_per_kwh": 36.0, "source": "t", "year": None, "basis": "unknown"},
    }
    emitted = carbon.account(DATA, zones, {"h": 1.5})
    one = emitted.sel(quantization="full").squeeze()
    # 100 J per run: 100/3.6e6 kWh · 1.5 · 360 g/kWh = 0.015 g
    assert one.emissions.sel(zone="B").item() == pytest.approx(0.015)
    assert one.emissions.sel(zone="A").item() == pytest.approx(0.0015)
    assert one.emissions_per_token.sel(zone="B").item() == pytest.approx(0.0015)
    rows = carbon.table(emitted)
    assert len(rows) == 3 * 2
    assert set(rows["intensity_source"]) == {"s", "t"}


def test_no_zones_is_an_empty_table():
    emitted = carbon.account(DATA, {}, {"h": 1.0})
    assert isinstance(emitted, xr.Dataset)
    assert len(carbon.table(emitted)) == 0


def test_countries_come_from_codecarbon_and_own_numbers_keep_their_source():
    zones = zones_of.resolve(
        {"FRA": {}, "X": {"intensity_g_per_kwh": 1.5, "source": "mine"}}, "study"
    )
    assert 10 < zones["FRA"]["intensity_g_per_kwh"] < 120
    assert "CodeCarbon" in zones["FRA"]["source"]
    assert zones["FRA"]["year"] >= 2020
    assert zones["X"] == {
        "intensity_g_per_kwh": 1.5,
        "source": "mine",
        "year": None,
        "basis": "unknown",
    }


def test_parts_of_countries():
    """EPA's eGRID2023 in lb/MWh: California 394.769. Quebec's mix is almost all hydro at 26 g."""
    zones = zones_of.resolve({z: {} for z in ("SE1", "NO5", "US-CA", "CN-BJ", "CA-QC")}, "study")
    assert zones["US-CA"]["intensity_g_per_kwh"] == pytest.approx(394.769 * 0.45359237)
    assert zones["US-CA"]["basis"] == "direct"
    assert zones["CN-BJ"]["intensity_g_per_kwh"] == 555.4
    assert 20 < zones["CA-QC"]["intensity_g_per_kwh"] < 35
    assert 20 < zones["SE1"]["intensity_g_per_kwh"] < 30
    with pytest.raises(InputError, match="did you mean 'US-"):
        zones_of.resolve({"US-TZ": {}}, "study")


# BLOOM: Luccioni et al. 2022; GPT-3: Patterson et al. 2021
@pytest.mark.parametrize(
    ("kwh", "intensity", "tonnes"), [(433_196, 57, 24.69), (1_287_000, 429, 552.1)]
)
def test_published_trainings(kwh, intensity, tonnes):
    grams = carbon.emissions_g(kwh * J_PER_KWH, intensity)
    assert grams / 1e6 == pytest.approx(tonnes, rel=5e-4)


# ---------------------------------------------------------------- series
UNTIL_2024 = (
    "Datetime (UTC),Country,Zone Name,Zone Id,Carbon Intensity gCO₂eq/kWh (direct),"
    "Carbon Intensity gCO₂eq/kWh (LCA),Data Estimated"
)
SINCE_2025 = (
    "Datetime (UTC),Country,Zone name,Zone id,Carbon intensity gCO₂eq/kWh (direct),"
    "Carbon intensity gCO₂eq/kWh (Life cycle),Data estimated"
)


@pytest.mark.parametrize("head", [UNTIL_2024, SINCE_2025])
def test_both_headers_of_electricity_maps_are_read(tmp_path, head):
    rows = ["2024-01-01 01:00:00,G,G,DE,10,20,true", "2024-01-01 00:00:00,G,G,DE,30,40,false"]
    path = tmp_path / "x.csv"
    path.write_text("\n".join([head, *rows]))
    found = intensity.read_series(path)
    assert found.values.tolist() == [40, 20]
    assert found.attrs == {"basis": "life cycle", "estimated_share": 0.5, "zone": "DE"}
    assert intensity.read_series(path, "direct").values.tolist() == [30, 10]


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("time,g\n2024-01-01T00:00,1\nyesterday,2\n", r"x.csv:3: 'yesterday' is no time"),
        ("time,g\n2024-01-01T00:00,1\n2024-01-01T01:00,many\n", r"x.csv:3: 'many' is no time or"),
        ("a,b,c\n1,2,3\n", "expected a CSV file of Electricity Maps, or one with two columns"),
    ],
)
def test_what_is_no_series_is_named(tmp_path, text, part):
    path = tmp_path / "x.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=part):
        intensity.read_series(path)


def days(count, hours=range(24)):
    """`count` days whose intensity is that of their hours."""
    values = np.tile(np.asarray(hours, float), count)
    time = np.datetime64("2024-01-01", "ns") + np.arange(len(values)) * np.timedelta64(1, "h")
    return xr.DataArray(values, coords={"time": time}, dims="time", attrs={"basis": "unknown"})


def test_the_best_start_by_hand():
    """Every day 100 g/kWh, but 40 g in its first hour: a job of one hour with a day of slack always
    finds that hour, now it has a mean of 97.5; yesterday was the same, so that knowing it is as
    good as foresight.
    """
    found = intensity.best_start(days(60, [40, *[100] * 23]), 1, 23)
    assert found.sel(start="now").item() == pytest.approx(97.5, abs=0.1)
    assert found.sel(start="foresight").item() == pytest.approx(40)
    assert found.sel(start="yesterday").item() == pytest.approx(40)
    none = intensity.best_start(days(60, [40, *[100] * 23]), 1, 0)
    assert len(set(np.round(none.values, 9))) == 1


def test_a_week_of_foresight_is_never_worse_than_a_day_of_it():
    random = np.random.default_rng(0)
    series = days(60, [0] * 24) + random.random(60 * 24)
    best = [
        intensity.best_start(series, 6, slack).sel(start="foresight").item() for slack in (24, 168)
    ]
    assert best[1] < best[0]


def test_a_short_or_gappy_series_does_not_end_the_analysis(tmp_path):
    """A week says nothing of a week of slack; a first hour without a value is filled, a line
    without a time left out.
    """
    assert np.isnan(intensity.best_start(days(7), 24, 168)).all()
    path = tmp_path / "x.csv"
    rows = [f"2024-01-01T{hour:02}:00,{hour or ''}" for hour in range(24)]
    path.write_text("\n".join(["time,g", *rows, ","]))
    found = intensity.hourly(intensity.read_series(path))
    assert found.notnull().all()
    path.write_text("time,g\n")
    with pytest.raises(InputError, match="holds no values"):
        intensity.read_series(path)


def test_the_profile_has_a_mean_for_each_hour_and_month():
    found = intensity.profile(days(60))
    assert found.sizes == {"month": 12, "hour": 24}
    assert found.sel(month=2).values.tolist() == list(range(24))
    assert np.isnan(found.sel(month=7)).all()


def test_a_zone_with_a_series_takes_its_mean_and_tells_the_hours(tmp_path):
    rows = [f"{t},{v}" for t, v in zip(days(60).time.values, days(60).values, strict=True)]
    (tmp_path / "x.csv").write_text("\n".join(["time,g", *rows]))
    zones = {"X": {"series": {"path": "x.csv", "sha256": "-"}, "source": "mine", "basis": "direct"}}
    found, grid = carbon.with_series(zones, tmp_path)
    assert found["X"]["intensity_g_per_kwh"] == 11.5
    assert found["X"]["year"] == 2024
    assert found["X"]["basis"] == "direct"
    assert grid.profile.dims == ("zone", "month", "hour")
    assert grid.start_intensity.sel(zone="X", job_hours=1, slack_hours=24, start="now") > 11
    told = {name: variable.attrs for name, variable in grid.data_vars.items()}
    assert told == {name: variable.attrs for name, variable in GRID.items()}


def test_old_figures_are_said():
    zones = {
        "A": {"intensity_g_per_kwh": 1.0, "source": "s", "year": 2021, "basis": "direct"},
        "B": {"intensity_g_per_kwh": 1.0, "source": "s", "year": 2023, "basis": "direct"},
    }
    assert carbon.old_figures(carbon.account(DATA, zones, {"h": 1.0}), 2026) == ["A (2021)"]


# ---------------------------------------------------------------- beside operational emissions
BLOOM = {"preset": "bloom", "server_share": 1.0}
SERVER = {"device": "cuda", "gpus": 8}


def test_the_published_embodied_share_of_bloom():
    """1,082,990 GPU hours on servers of 8: 7.57 t of servers, 3.64 t of GPUs, 11.2 t together; 56 g
    an hour of a server.
    """
    machine = embodied.resolve({"embodied": {"a": BLOOM}}, {"a": SERVER})["embodied"]["a"]
    tonnes = footprint.embodied_g(1_082_990 / 8, machine) / 1e6
    assert tonnes == pytest.approx(11.2, abs=0.05)
    servers = footprint.embodied_g(1_082_990 / 8, {**machine, "gpus": 0}) / 1e6
    assert servers == pytest.approx(7.57, abs=0.01)
    assert tonnes - servers == pytest.approx(3.64, abs=0.01)
    assert footprint.embodied_g(1, {**machine, "gpus": 0}) == pytest.approx(56, abs=0.5)


def test_the_published_embodied_share_of_xlm():
    """20.4 days on 64 servers with 8 V100 each: LLMCarbon's own check, 0.66 t by XLM's authors, who
    are met within 2 %.
    """
    entry = {"preset": "llmcarbon-v100", "server_share": 1.0}
    machine = embodied.resolve({"embodied": {"a": entry}}, {"a": SERVER})["embodied"]["a"]
    assert 64 * footprint.embodied_g(20.4 * 24, machine) / 1e6 == pytest.approx(0.66, rel=0.02)


def test_the_schema_names_every_preset():
    known = schema_of("study")["$defs"]["embodied"]["properties"]["preset"]["enum"]
    assert set(known) == set(embodied.PRESETS)


def test_the_example_of_the_sci_specification():
    """1,000 kg over four years, reserved for an hour: around 28 g (version 1.1, embodied
    emissions).
    """
    own = {"server_kg": 1000, "years": 4, "utilisation": 1, "server_share": 1.0, "source": "SCI"}
    machine = embodied.resolve({"embodied": {"a": own}}, {"a": {"device": "cpu"}})["embodied"]["a"]
    assert footprint.embodied_g(1, machine) == pytest.approx(28, abs=0.6)
    # with 1 kWh at 100 g/kWh that serves 2 requests
    assert footprint.sci(1, 100, footprint.embodied_g(1, machine), 2) == pytest.approx(
        64.27, abs=0.01
    )


ZONES = {
    "A": {"intensity_g_per_kwh": 36.0, "source": "t", "year": None, "basis": "unknown"},
    "B": {"intensity_g_per_kwh": 360.0, "source": "s", "year": 2024, "basis": "direct"},
}


def beside(zones=ZONES, **carbon_block):
    machines = embodied.resolve(carbon_block, {"h": SERVER})
    emitted = carbon.account(DATA, zones, {"h": 1.5})
    return emitted, footprint.account(DATA, emitted, zones, machines)


def test_what_stands_beside_points_to_no_status_of_another_group(monkeypatch):
    data = DATA.copy(deep=True)
    for variable in data["energy"].data_vars.values():
        variable.attrs["ancillary_variables"] = "status"
    monkeypatch.setitem(globals(), "DATA", data)
    water = {"h": {"litres_per_kwh": 1.8, "source": "report", "year": 2024}}
    _, found = beside(embodied={"h": BLOOM}, water=water)
    for name, variable in found.data_vars.items():
        assert variable.attrs == FOOTPRINT[name].attrs


def test_what_stands_beside_is_in_no_operational_figure():
    contract = {"market_g_per_kwh": 0.0, "market_source": "hydro, NO"}
    water = {"h": {"litres_per_kwh": 1.8, "source": "report", "year": 2024}}
    zones = {**ZONES, "A": {**ZONES["A"], **contract}}
    plain, none = beside()
    emitted, found = beside(zones, embodied={"h": BLOOM}, water=water)
    assert not none
    xr.testing.assert_identical(plain, emitted)
    one = found.sel(quantization="full").squeeze()
    # market-based where the zone says what its contract stands for, and nowhere else
    assert one.market_emissions.sel(zone="A") == 0
    assert np.isnan(one.market_emissions.sel(zone="B"))
    assert one.water_source.item() == "report, 2024"
    # 100 J a run at 1.8 L/kWh, without PUE; 2 s of a server with 8 GPUs at 82.8 g/h
    assert one.water.item() == pytest.approx(100 / 3.6e6 * 1.8)
    assert one.embodied.item() == pytest.approx(2 / 3600 * 3_700_000 / (6 * 8760 * 0.85))
    # SCI is the sum: 10 tokens and 2 requests a run, 0.015 g operational in B
    whole = 0.015 + one.embodied.item()
    assert one.sci_per_million_tokens.sel(zone="B").item() == pytest.approx(whole * 1e5)
    assert one.sci_per_thousand_requests.sel(zone="B").item() == pytest.approx(whole * 500)
    rows = carbon.table(emitted, found)
    assert {"embodied_g", "water_l", "market_emissions_g"} <= set(rows)
    assert rows["emissions_g"].tolist() == carbon.table(plain)["emissions_g"].tolist()


def test_a_market_based_figure_goes_with_codecarbons_and_with_a_series(tmp_path):
    contract = {"market_g_per_kwh": 5, "market_source": "contract"}
    found = zones_of.resolve({"FRA": contract, "X": {**ZONES["B"], **contract}}, "study")
    assert "CodeCarbon" in found["FRA"]["source"]
    assert found["FRA"]["market_g_per_kwh"] == found["X"]["market_g_per_kwh"] == 5
    assert found["X"]["intensity_g_per_kwh"] == 360
    (tmp_path / "x.csv").write_text("time,g\n2024-01-01T00:00,100\n")
    series = {"series": {"path": "x.csv"}, "source": "mine", "basis": None, **contract}
    assert carbon.with_series({"X": series}, tmp_path)[0]["X"]["market_g_per_kwh"] == 5


# ---------------------------------------------------------------- when to begin
NOON = [100] * 12 + [40] + [100] * 11  # 40 g/kWh from 12 to 13 UTC, 100 else: 97.5 in the mean


def test_a_job_begins_in_the_clean_hour_on_the_clusters_clock():
    """January and February in Brussels are UTC+1, Kolkata UTC+5:30."""
    for zone, clock in (("UTC", "12:00"), ("Europe/Brussels", "13:00"), ("Asia/Kolkata", "17:30")):
        found = begin.begins(days(50, NOON), (1,), zone).sel(job_hours=1)
        assert begin.on_clock(found.begin_hour.sel(month=2).item()) == clock
        assert found.begin_saved.sel(month=2).item() == pytest.approx(1 - 40 / 97.5, abs=0.002)
        assert found.begin_hour.sel(month=7).isnull()


def test_a_job_of_several_hours_begins_so_that_the_clean_ones_are_in_it():
    """Of two hours a day at 10 g, the 7th and the 8th, a job of two has both."""
    hours = [100] * 6 + [10, 10] + [100] * 16
    found = begin.begins(days(40, hours), (2,), "UTC")
    assert found.begin_hour.sel(month=1, job_hours=2) == 6
    # in summer the clock is an hour on: the same hours of UTC are told as 8:00
    summer = days(40, hours).assign_coords(time=days(40).time + np.timedelta64(182, "D"))
    assert begin.begins(summer, (2,), "Europe/Brussels").begin_hour.sel(month=7, job_hours=2) == 8


def grid_of(tmp_path, time_zone):
    series = days(50, NOON)
    rows = [f"{t},{v}" for t, v in zip(series.time.values, series.values, strict=True)]
    (tmp_path / "x.csv").write_text("\n".join(["time,g", *rows]))
    zones = {"X": {"series": {"path": "x.csv"}, "source": "mine", "basis": "direct"}}
    return carbon.with_series(zones, tmp_path, time_zone)[1]


def test_the_suggestion_says_clock_zone_bound_and_what_a_day_old_profile_reaches(tmp_path):
    text = begin.suggestion(grid_of(tmp_path, "Europe/Brussels"), "X", 1, 1)
    assert "sbatch --begin=13:00" in text
    assert "13:00 (Europe/Brussels)" in text
    assert "best a day before saves 59%" in text
    assert "perfect foresight, a bound, 59%" in text
    assert begin.suggestion(grid_of(tmp_path, "Europe/Brussels"), "X", 7, 1) == ""


def test_without_the_clusters_time_zone_no_command_is_suggested(tmp_path):
    text = begin.suggestion(grid_of(tmp_path, None), "X", 1, 1)
    assert "12:00 (UTC)" in text
    assert "--begin=" not in text
    assert "time_zone" in text


def test_a_site_names_its_time_zone(tmp_path):
    path = tmp_path / "site.yaml"
    path.write_text("time_zone: Europe/Brussels\nhardware: {}\n")
    assert sites.time_zone_of(str(path)) == "Europe/Brussels"
    path.write_text("time_zone: Europe/Brusels\nhardware: {}\n")
    with pytest.raises(InputError, match=r"time_zone: got 'Europe/Brusels'.*'Europe/Brussels'"):
        sites.time_zone_of(str(path))
    assert sites.time_zone_of(None) is None


# ---------------------------------------------------------------- what shifting saves
@pytest.fixture
def say_savings(monkeypatch, capsys):
    """A function that runs the script on a file and gives what it prints."""

    def say(path):
        monkeypatch.setattr(sys, "argv", ["shift_savings.py", str(path)])
        shift_savings.main()
        return capsys.readouterr().out

    return say


def test_the_script_says_what_shifting_saves(tmp_path, say_savings):
    """40 g/kWh for one hour a day, 100 g else, thus 97.5 g: an hour within a day goes down to 40 g,
    known a day ahead or not; six hours within a day to 90 g; a whole day cannot be shifted away
    from anything.
    """
    path, series = tmp_path / "x.csv", days(60, NOON)
    rows = [f"{t},{v}" for t, v in zip(series.time.values, series.values, strict=True)]
    path.write_text("\n".join(["time,g", *rows]))
    text = say_savings(path)
    assert "2024-01-01T00 to 2024-02-29T23, mean 97.5 g/kWh" in text
    cells = [line.split() for line in text.splitlines()[3:]]
    saved = {(int(job), int(slack)): (float(a), float(b)) for job, slack, a, _, b, _ in cells}
    assert saved[1, 24] == (pytest.approx(100 * (1 - 40 / 97.5), abs=0.1),) * 2
    assert saved[6, 24][0] == pytest.approx(100 * (1 - 90 / 97.5), abs=0.1)
    assert saved[24, 24] == (0, 0)


def test_the_script_says_what_is_no_series(tmp_path, say_savings):
    with pytest.raises(InputError, match=r"none\.csv: no such file"):
        say_savings(tmp_path / "none.csv")
    (tmp_path / "x.csv").write_text("time,g\n2024-01-01,1\n2024-02-01,2\n")
    with pytest.raises(InputError, match=r"x\.csv: expected a value for each hour"):
        say_savings(tmp_path / "x.csv")


# From the files of Electricity Maps, 2024, life cycle, which their licence keeps out of here
PUBLISHED_SAVINGS = {
    "DE-LU_2024.csv": {(1, 24): 28.9, (6, 24): 25.5, (24, 24): 9.8, (24, 168): 32.7},
    "US-CAL-CISO_2024.csv": {(1, 24): 44.6, (6, 24): 41.6, (24, 24): 4.7, (24, 168): 16.4},
}
SERIES_FOLDER = os.environ.get("JOULEGRID_SERIES", "")


@pytest.mark.parametrize("name", PUBLISHED_SAVINGS)
@pytest.mark.skipif(not SERIES_FOLDER, reason="JOULEGRID_SERIES names no folder of hourly files")
def test_the_savings_of_real_grids(name):
    starts = carbon.starts(intensity.read_series(Path(SERIES_FOLDER, name)))
    saved = 100 * (1 - starts.sel(start="foresight") / starts.sel(start="now"))
    for (job, slack), percent in PUBLISHED_SAVINGS[name].items():
        assert float(saved.sel(job_hours=job, slack_hours=slack)) == pytest.approx(
            percent, abs=0.05
        )
