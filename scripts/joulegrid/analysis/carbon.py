"""CO2-equivalent emissions of every cell in every zone.

    m = E · PUE · I

with E the energy of the machine (J), PUE the power usage effectiveness of its data centre (ISO/IEC
30134-2: energy of the data centre over energy of the machines) and I the carbon intensity of the
zone's electricity (g/kWh).
"""

from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from joulegrid.analysis.statistics import mean_over_sessions, per_token
from joulegrid.analysis.variables import CARBON
from joulegrid.study.grid import CELL_AXES
from joulegrid.units import J_PER_KWH


def emissions_g(energy_j: Any, intensity_g_per_kwh: Any, pue: Any = 1.0) -> Any:
    """Grams of CO2e of `energy_j` joules; works on numbers and arrays."""
    return energy_j / J_PER_KWH * pue * intensity_g_per_kwh


def account(tree: xr.DataTree, zones: dict[str, dict], pue: dict[str, float]) -> xr.Dataset:
    """Emissions over the cell axes and `zone`.

    Parameters
    ----------
    zones
        zone -> intensity_g_per_kwh, source, year.
    pue
        hardware label -> power usage effectiveness.

    Returns
    -------
    The variables of `variables.CARBON` (g), and the intensity (g kW-1 h-1), source and year of
    every zone.
    """
    energy = tree["energy"].to_dataset()
    names = sorted(zones)
    intensity = xr.DataArray(
        [zones[z]["intensity_g_per_kwh"] for z in names], coords={"zone": names}, name="intensity"
    )
    hardware = list(energy.hardware.values)
    factor = xr.DataArray([pue[h] for h in hardware], coords={"hardware": hardware})
    joules = mean_over_sessions(per_token(energy))
    run_tokens = (energy.tokens_written / energy.runs).mean("session")
    values = {
        "emissions": emissions_g(joules["mean"] * run_tokens, intensity, factor),
        "emissions_ci95": emissions_g(joules["half_width"] * run_tokens, intensity, factor),
        "emissions_per_token": emissions_g(joules["mean"], intensity, factor),
    }
    dataset = xr.Dataset(
        {
            name: values[name].transpose(*CELL_AXES, "zone").assign_attrs(v.attrs)
            for name, v in CARBON.items()
        }
    )
    about = {"long_name": "carbon intensity of electricity", "units": "g kW-1 h-1"}
    dataset["intensity"] = intensity.assign_attrs(about)
    sources = [zones[z]["source"] for z in names]
    dataset["intensity_source"] = ("zone", sources, {"long_name": "source of the intensity"})
    years = np.array([zones[z]["year"] or 0 for z in names], "i4")
    about = {"long_name": "year of the intensity, 0 where the source names none"}
    dataset["intensity_year"] = ("zone", years, about)
    dataset["pue"] = factor.assign_attrs(long_name="power usage effectiveness", units="1")
    return dataset


def table(carbon: xr.Dataset) -> pd.DataFrame:
    """One row per measured cell and zone."""
    order = [*CELL_AXES, "zone"]
    columns = {f"{name}_g": carbon[name].drop_attrs() for name in CARBON}
    frame = xr.Dataset(columns).to_dataframe(order)
    frame = frame.dropna(subset=["emissions_g"]).reset_index()
    zones = carbon[["intensity", "intensity_source", "intensity_year"]].to_dataframe()
    zones = zones.rename(columns={"intensity": "intensity_g_per_kwh"}).reset_index()
    frame = frame.merge(zones, on="zone").merge(
        carbon.pue.to_dataframe("pue").reset_index(), on="hardware"
    )
    return frame.sort_values(order, ignore_index=True)
