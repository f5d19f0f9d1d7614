"""Emissions against published numbers."""

import pytest
import xarray as xr

from joulegrid.analysis import carbon
from joulegrid.study import zones as zones_of
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
        "B": {"intensity_g_per_kwh": 360.0, "source": "s", "year": 2024},
        "A": {"intensity_g_per_kwh": 36.0, "source": "t", "year": None},
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
    assert zones["X"] == {"intensity_g_per_kwh": 1.5, "source": "mine", "year": None}
