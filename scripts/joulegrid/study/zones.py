"""Carbon intensity per zone: the study's own numbers, hourly files, or CodeCarbon's yearly tables
of countries and parts of them.
"""

import json
from functools import cache
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from joulegrid.errors import InputError
from joulegrid.study.validation import nearest

# Emissions of power plants alone, or with building them and their fuel; who says neither: unknown
DIRECT, LIFE_CYCLE, UNKNOWN = "direct", "life cycle", "unknown"
G_PER_KWH = 453.59237 / 1000  # of one lb/MWh
# CodeCarbon names Canada's provinces; Electricity Maps and ISO 3166-2 have codes
PROVINCES = {
    "alberta": "AB",
    "british columbia": "BC",
    "manitoba": "MB",
    "new brunswick": "NB",
    "newfoundland and labrador": "NL",
    "northwest territories": "NT",
    "nova scotia": "NS",
    "nunavut": "NU",
    "ontario": "ON",
    "prince edward island": "PE",
    "quebec": "QC",
    "saskatchewan": "SK",
    "yukon": "YT",
}
# Canada's mix names its sources otherwise than the table of intensities
SOURCES = {"naturalGas": "natural_gas", "hydro": "hydroelectricity"}

MARKET = ("market_g_per_kwh", "market_source")

Intensity = dict[str, Any]


def resolve(zones: dict[str, dict], where: str) -> dict[str, Intensity]:
    """Intensity, basis, source and year of every zone.

    Parameters
    ----------
    zones
        zone code -> the study's own `intensity_g_per_kwh` or `series` (a file, `{path, sha256}`),
        `source`, `year` and `basis`; or {} to
        take CodeCarbon's: a country (ISO 3166-1 alpha-3, DEU), a Nordic bidding zone (SE1), a state
        or province (US-CA, CA-BC, CN-BJ).

    Returns
    -------
    zone code -> {"intensity_g_per_kwh": gCO2e/kWh, "source": text, "year": int or None, "basis":
    one of the three above}; of a series, `series` in the place of the intensity. What contracts
    say, `market_g_per_kwh` and `market_source`, stays beside it where the study gives it.

    Raises
    ------
    InputError
        where a zone without an intensity is in none of CodeCarbon's tables.
    """
    return {code: _of(code, zone, where) for code, zone in zones.items()}


def _of(code: str, zone: dict, where: str) -> Intensity:
    market = {key: zone[key] for key in MARKET if key in zone}
    located = {key: value for key, value in zone.items() if key not in MARKET}
    return {**(_own(located) if located else _known(code, where)), **market}


def _own(zone: dict) -> Intensity:
    return {"year": None, "basis": None if "series" in zone else UNKNOWN} | zone


def _known(code: str, where: str) -> Intensity:
    table = _codecarbon()
    if code not in table:
        near = nearest(code.upper(), table)
        hint = f"; {near.split('; ')[-1]}" if "did you mean" in near else ""
        raise InputError(
            f"{where}: carbon.zones.{code}: no zone of CodeCarbon's tables: a country such as DEU "
            "(ISO 3166-1 alpha-3), SE1 to SE4, NO1 to NO5, US-CA, CA-BC, CN-BJ"
            f"{hint}; give intensity_g_per_kwh and source for a zone of your own"
        )
    return table[code]


@cache
def _codecarbon() -> dict[str, Intensity]:
    """CodeCarbon's tables as one, read without importing CodeCarbon (that takes a second)."""
    return {**_countries(), **_nordic(), **_states(), **_china(), **_canada()}


def _countries() -> dict[str, Intensity]:
    """Our World in Data's figures, which are Ember's with upstream emissions."""
    return {
        code: _entry(row["carbon_intensity"], "global_energy_mix.json", row["year"], LIFE_CYCLE)
        for code, row in _table("global_energy_mix.json").items()
    }


def _nordic() -> dict[str, Intensity]:
    """Mixes times CodeCarbon's intensity of each source, whose table holds both bases."""
    name = "nordic_emissions.json"
    return {
        code: _entry(row["emission_factor"], name, row["year"], UNKNOWN)
        for code, row in _table(name)["data"].items()
    }


def _states() -> dict[str, Intensity]:
    """EPA's eGRID, in lb/MWh of what comes out of the stacks."""
    name = "2023/usa_emissions.json"
    table = _table(name)
    return {
        f"US-{row['regionCode']}": _entry(
            row["emissions"] * G_PER_KWH, name, table["_source"]["year"], DIRECT
        )
        for key, row in table.items()
        if not key.startswith("_")
    }


def _china() -> dict[str, Intensity]:
    name = "2023/china_provincial_emissions.json"
    return {
        code: _entry(row["emission_factor"], name, row["year"], DIRECT)
        for code, row in _table(name)["data"].items()
    }


def _canada() -> dict[str, Intensity]:
    """The same; what has no intensity counts nothing, as CodeCarbon has it."""
    name, factors = "2023/canada_energy_mix.json", _table("carbon_intensity_per_source.json")
    found = {}
    for province, mix in _table(name).items():
        grams = sum(
            share / 100 * float(factors.get(SOURCES.get(source, source), 0))
            for source, share in mix.items()
            if source != "total"
        )
        found[f"CA-{PROVINCES[province]}"] = _entry(grams, name, 2023, UNKNOWN)
    return found


def _entry(grams: Any, table: str, year: Any, basis: str) -> Intensity:
    return {
        "intensity_g_per_kwh": float(grams),
        "source": f"CodeCarbon {version('codecarbon')} {Path(table).name}",
        "year": int(year),
        "basis": basis,
    }


def _table(name: str) -> dict[str, Any]:
    found = find_spec("codecarbon")
    if found is None or not found.submodule_search_locations:
        raise InputError("codecarbon is not installed: run `make setup`")
    path = Path(found.submodule_search_locations[0], "data/private_infra", name)
    return json.loads(path.read_text(encoding="utf-8"))
