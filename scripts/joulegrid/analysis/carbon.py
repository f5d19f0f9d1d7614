"""CO2-equivalent emissions of every cell in every zone.

    m = E · PUE · I

with E the energy of the machine (J), PUE the power usage effectiveness of its data centre (ISO/IEC
30134-2: energy of the data centre over energy of the machines) and I the carbon intensity of the
zone's electricity (g/kWh).
"""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from joulegrid.analysis.begin import begins
from joulegrid.analysis.concluded import CARBON, GRID
from joulegrid.analysis.energies import per_token
from joulegrid.analysis.intensity import (
    best_start,
    is_hourly,
    profile,
    ratios,
    read_series,
    summary,
)
from joulegrid.analysis.statistics import mean_over_sessions
from joulegrid.study.grid import CELL_AXES
from joulegrid.units import J_PER_KWH

# Lengths of jobs, and by how much their start may be late, in h
JOB_HOURS, SLACK_HOURS = (1, 6, 24), (6, 24, 168)
OLD_YEARS = 3


def emissions_g(energy_j: Any, intensity_g_per_kwh: Any, pue: Any = 1.0) -> Any:
    """Grams of CO2e of `energy_j` joules; works on numbers and arrays."""
    return energy_j / J_PER_KWH * pue * intensity_g_per_kwh


def energy_per_run(energy: xr.Dataset) -> xr.Dataset:
    """`mean` and `half_width` of the 95 % interval of the energy of one run, of all components, in
    J.
    """
    run_tokens = (energy.tokens_written / energy.runs).mean("session")
    return mean_over_sessions(per_token(energy)) * run_tokens


def account(tree: xr.DataTree, zones: dict[str, dict], pue: dict[str, float]) -> xr.Dataset:
    """Emissions over the cell axes and `zone`.

    Parameters
    ----------
    zones
        zone -> intensity_g_per_kwh, basis, source, year; see `study.zones.resolve`.
    pue
        hardware label -> power usage effectiveness.

    Returns
    -------
    The variables of `concluded.CARBON` (g), and the intensity (g kW-1 h-1), basis, source and year
    of every zone.
    """
    energy = tree["energy"].to_dataset()
    names = sorted(zones)
    intensity = xr.DataArray(
        [zones[z]["intensity_g_per_kwh"] for z in names], coords={"zone": names}, name="intensity"
    )
    hardware = list(energy.hardware.values)
    factor = xr.DataArray([pue[h] for h in hardware], coords={"hardware": hardware})
    run = energy_per_run(energy)
    token = per_token(energy).mean("session")
    values = {
        "emissions": emissions_g(run["mean"], intensity, factor),
        "emissions_ci95": emissions_g(run["half_width"], intensity, factor),
        "emissions_per_token": emissions_g(token, intensity, factor),
    }
    dataset = xr.Dataset(
        {n: variable.described(values[n], *CELL_AXES, "zone") for n, variable in CARBON.items()}
    )
    about = {"long_name": "carbon intensity of electricity", "units": "g kW-1 h-1"}
    dataset["intensity"] = intensity.assign_attrs(about)
    for name, long_name in (
        ("source", "source of the intensity"),
        ("basis", "direct emissions of power plants, or their life cycle"),
    ):
        texts = np.array([zones[z][name] for z in names], "O")
        dataset[f"intensity_{name}"] = ("zone", texts, {"long_name": long_name})
    years = np.array([zones[z]["year"] or 0 for z in names], "i4")
    about = {"long_name": "year of the intensity, 0 where the source names none", "units": "1"}
    dataset["intensity_year"] = ("zone", years, about)
    dataset["pue"] = factor.assign_attrs(long_name="power usage effectiveness", units="1")
    return dataset


def with_series(
    zones: dict[str, dict], root: Path, time_zone: str | None = None
) -> tuple[dict[str, dict], xr.Dataset]:
    """Zones with the mean of their series in its place, and what the hourly ones tell of time.

    Parameters
    ----------
    time_zone
        of the cluster, for when to begin; UTC where it is not known.

    Returns
    -------
    The zones as `account` takes them; and over `zone` the variables of `concluded.GRID`, empty
    where no series is hourly.

    Raises
    ------
    InputError
        where a series cannot be read.
    """
    found, parts, known = {}, [], {}
    for code, zone in zones.items():
        if "series" not in zone:
            found[code] = zone
            continue
        series = read_series(root / zone["series"]["path"], zone["basis"])
        facts = summary(series)
        found[code] = {**{k: v for k, v in zone.items() if k != "series"}, **facts}
        if is_hourly(series):
            part = xr.Dataset({"profile": profile(series), "start_intensity": starts(series)})
            part["estimated_share"] = facts["estimated_share"]
            part = part.merge(begins(series, JOB_HOURS, time_zone or "UTC"))
            parts.append(part.expand_dims(zone=[code]))
            known[code] = series
    if not parts:
        return found, xr.Dataset()
    grid = xr.concat(parts, "zone").assign(hourly_ratio=ratios(known))
    # not `map`, which gives each variable back the attributes that it had
    for name, variable in grid.items():
        variable.attrs = GRID[str(name)].attrs
    return found, grid.assign_attrs(time_zone=time_zone or "")


def starts(series: xr.DataArray) -> xr.DataArray:
    """`intensity.best_start` for jobs and slacks of several lengths in h; NaN where the series is
    too short for them.
    """
    axes = {"job_hours": JOB_HOURS, "slack_hours": SLACK_HOURS}
    rows = [
        xr.concat([best_start(series, hours, slack) for slack in SLACK_HOURS], "slack_hours")
        for hours in JOB_HOURS
    ]
    return xr.concat(rows, "job_hours").assign_coords({k: list(v) for k, v in axes.items()})


def old_figures(carbon: xr.Dataset, measured_in: int) -> list[str]:
    """Zones whose intensity is of more than three years before the measurements."""
    years = carbon.intensity_year.to_series()
    old = years[(years > 0) & (measured_in - years > OLD_YEARS)]
    return [f"{zone} ({year})" for zone, year in old.items()]


def table(carbon: xr.Dataset, beside: xr.Dataset | None = None) -> pd.DataFrame:
    """One row per measured cell and zone.

    Parameters
    ----------
    beside
        what `footprint.account` gave: columns of their own, with their units in the names.
    """
    order = [*CELL_AXES, "zone"]
    columns = {f"{name}_g": carbon[name].drop_attrs() for name in CARBON}
    units = {"g": "_g", "L": "_l", "g kW-1 h-1": "_g_per_kwh"}
    for name, array in (beside if beside is not None else xr.Dataset()).data_vars.items():
        unit = units.get(array.attrs.get("units", ""), "")
        columns[f"{name}{unit}"] = array.drop_attrs().broadcast_like(carbon.emissions)
    frame = xr.Dataset(columns).reset_coords(drop=True).to_dataframe(order)
    frame = frame.dropna(subset=["emissions_g"]).reset_index()
    zones = carbon[
        ["intensity", "intensity_basis", "intensity_source", "intensity_year"]
    ].to_dataframe()
    zones = zones.rename(columns={"intensity": "intensity_g_per_kwh"}).reset_index()
    frame = frame.merge(zones, on="zone").merge(
        carbon.pue.to_series().rename("pue").reset_index(), on="hardware"
    )
    return frame.sort_values(order, ignore_index=True)
