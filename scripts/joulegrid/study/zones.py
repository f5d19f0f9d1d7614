"""Yearly carbon intensity per zone: the study's own numbers, or CodeCarbon's table of countries."""

import json
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from joulegrid.errors import InputError
from joulegrid.study.validation import nearest


def resolve(zones: dict[str, dict], where: str) -> dict[str, dict]:
    """Intensity, source and year of every zone.

    Parameters
    ----------
    zones
        zone code -> the study's own `intensity_g_per_kwh`, `source` and `year`, or {} to take the
        country's
        from CodeCarbon (ISO 3166-1 alpha-3 codes).

    Returns
    -------
    zone code -> {"intensity_g_per_kwh": gCO2e/kWh, "source": text, "year": int or None}

    Raises
    ------
    InputError
        where a zone without an intensity is no country of CodeCarbon's table.
    """
    return {code: _own(zone) if zone else _country(code, where) for code, zone in zones.items()}


def _own(zone: dict) -> dict:
    return {"year": None} | zone


def _country(code: str, where: str) -> dict:
    table, version = _codecarbon_table()
    if code not in table:
        names = {key: f"{key} ({entry['country_name']})" for key, entry in table.items()}
        hint = nearest(code.upper(), table).split("; did you mean")
        close = (
            next((names[k] for k in names if f"'{k}'" in hint[-1]), None) if len(hint) > 1 else None
        )
        raise InputError(
            f"{where}: carbon.zones.{code}: no ISO 3166-1 alpha-3 country code of CodeCarbon's "
            "table, such as DEU or "
            f"FRA{f'; did you mean {close}?' if close else ''}; give intensity_g_per_kwh and "
            "source for a zone of "
            "your own"
        )
    entry = table[code]
    return {
        "intensity_g_per_kwh": float(entry["carbon_intensity"]),
        "source": f"CodeCarbon {version} global_energy_mix.json",
        "year": int(entry["year"]),
    }


@cache
def _codecarbon_table() -> tuple[dict, str]:
    """CodeCarbon's yearly table, read without importing CodeCarbon (that takes a second)."""
    from importlib.metadata import version

    found = find_spec("codecarbon")
    if found is None or not found.submodule_search_locations:
        raise InputError("codecarbon is not installed: run `make setup`")
    path = Path(found.submodule_search_locations[0], "data/private_infra/global_energy_mix.json")
    return json.loads(path.read_text(encoding="utf-8")), version("codecarbon")
