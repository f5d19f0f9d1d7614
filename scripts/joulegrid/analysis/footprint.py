"""What stands beside the operational emissions and is never added to them unsaid: market-based
emissions, the embodied share of the machines, water, and SCI, which is their sum by definition.
"""

from typing import Any

import numpy as np
import xarray as xr

from joulegrid.analysis.carbon import emissions_g, energy_per_run
from joulegrid.analysis.concluded import FOOTPRINT
from joulegrid.study.grid import CELL_AXES
from joulegrid.units import J_PER_KWH

HOURS_PER_YEAR = 365 * 24
MARKET = "market_g_per_kwh"


def embodied_g(hours: Any, machine: dict[str, Any]) -> Any:
    """The share of a machine's embodied emissions that `hours` of its time bear, in g CO2e.

        M = TE · TiR / EL · RR / ToR

    of ISO/IEC 21031 (SCI), with the lifetime EL shortened to the hours in which the machine is
    used, as Luccioni et al. 2023 do for BLOOM.

    Parameters
    ----------
    machine
        server_kg of the server without GPUs, gpu_kg of each of its `gpus` that are used,
        server_share, years, utilisation; see `study.embodied.resolve`.
    """
    made = machine["server_kg"] * machine["server_share"] + machine["gpu_kg"] * machine["gpus"]
    return 1000 * made * hours / (machine["years"] * HOURS_PER_YEAR * machine["utilisation"])


def sci(energy_kwh: Any, intensity_g_per_kwh: Any, embodied: Any, units: Any) -> Any:
    """Software carbon intensity, (E · I + M) / R, of ISO/IEC 21031, in g CO2e per functional unit.

    Parameters
    ----------
    energy_kwh
        of the data centre, thus with PUE.
    embodied
        M in g CO2e.
    units
        how many functional units R that is for.
    """
    return (energy_kwh * intensity_g_per_kwh + embodied) / units


def account(
    tree: xr.DataTree,
    emitted: xr.Dataset,
    zones: dict[str, dict],
    machines: dict[str, dict[str, Any]],
) -> xr.Dataset:
    """The variables of `concluded.FOOTPRINT` that the study gives numbers for; empty where none.

    Parameters
    ----------
    emitted
        what `carbon.account` gave.
    zones
        as `carbon.account` takes them; of those with `market_g_per_kwh` and `market_source` the
        market-based emissions are accounted.
    machines
        `embodied` and `water` by hardware label; see `study.embodied.resolve`.

    Returns
    -------
    Over the cell axes, some over `zone` too, beside them their sources; NaN where a zone or a
    machine has no number.
    """
    energy = tree["energy"].to_dataset()
    joules = energy_per_run(energy)["mean"]
    tokens = (energy.tokens_written / energy.runs).mean("session")
    found = {}
    market = xr.DataArray(
        [zones[zone].get(MARKET, np.nan) for zone in emitted.zone.values], {"zone": emitted.zone}
    )
    if market.notnull().any():
        found["market_emissions"] = emissions_g(joules, market, emitted.pue)
        found["market_intensity"] = market
        found["market_source"] = _texts(emitted.zone, zones, "market_source")
    if machines["water"]:
        litres = _by_label(energy.hardware, machines["water"], lambda one: one["litres_per_kwh"])
        found["water"] = joules / J_PER_KWH * litres
        found["water_source"] = _texts(energy.hardware, machines["water"], "source")
    if machines["embodied"]:
        per_hour = _by_label(
            energy.hardware, machines["embodied"], lambda one: embodied_g(1.0, one)
        )
        share = (energy.duration / energy.runs).mean("session") / 3600 * per_hour
        kwh = joules / J_PER_KWH * emitted.pue
        requests = (energy.requests / energy.runs).mean("session")
        found["embodied"] = share
        found["embodied_source"] = _texts(energy.hardware, machines["embodied"], "source")
        found["sci_per_thousand_requests"] = 1000 * sci(kwh, emitted.intensity, share, requests)
        found["sci_per_million_tokens"] = 1e6 * sci(kwh, emitted.intensity, share, tokens)
    return xr.Dataset({name: _ordered(array, name) for name, array in found.items()})


def _by_label(labels: xr.DataArray, known: dict[str, Any], value: Any) -> xr.DataArray:
    """A number for each label, NaN where nothing is known of it."""
    numbers = [value(known[label]) if label in known else np.nan for label in labels.values]
    return xr.DataArray(numbers, {labels.name: labels})


def _texts(labels: xr.DataArray, known: dict[str, dict], key: str) -> xr.DataArray:
    texts = [known.get(label, {}).get(key, "") for label in labels.values]
    return xr.DataArray(np.array(texts, "O"), {labels.name: labels})


def _ordered(array: xr.DataArray, name: str) -> xr.DataArray:
    """With its attributes, and none of the energy that it comes from, the cell axes first."""
    order = [dim for dim in (*CELL_AXES, "zone") if dim in array.dims]
    return array.transpose(*order).drop_attrs(deep=False).assign_attrs(FOOTPRINT[name].attrs)
