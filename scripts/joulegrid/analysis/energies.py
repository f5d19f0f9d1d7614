"""Energies out of sessions: what a study compares of them, per token and per phase, and how it was
obtained.
"""

import numpy as np
import xarray as xr

from joulegrid.analysis.variables import BASIS

MEASURED, GUESS, ABSENT = (BASIS.index(name) for name in ("measured", "guess", "absent"))


def compared_energy(energy: xr.Dataset, which: str = "all", net: bool = False) -> xr.DataArray:
    """Energy in J of every session, of the components that are compared.

    Parameters
    ----------
    which
        "all" components, those that counters "measured", or the "gpu" alone; NaN where there is
        none of them.
    net
        above the power of the machine with the model loaded and nothing to do; NaN where that was
        disturbed, or where nothing is left above it.
    """
    joules = energy.energy
    if net:
        joules = joules - (energy.idle_power * energy.duration).where(energy.idle_disturbed == 0)
    found = _of_components(joules, energy.basis, which)
    return found.where(found > 0) if net else found


def _of_components(joules: xr.DataArray, basis: xr.DataArray, which: str) -> xr.DataArray:
    if which == "gpu":
        present = basis.sel(component="gpu") == MEASURED
        return joules.sel(component="gpu", drop=True).where(present)
    if which == "measured":
        chosen = basis == MEASURED
        whole = joules.where(chosen, 0).sum("component").where(chosen.any("component"))
        return whole.where(joules.where(chosen, 0).notnull().all("component"))
    return joules.sum("component", skipna=False)


def unlike(energy: xr.Dataset, which: str, baseline: dict[str, str]) -> xr.DataArray:
    """Over the cell axes, whether the energy of a component was counted in some sessions of a cell
    or of its baseline and estimated in others: what they differ by is then no difference of the
    cells alone. Components that a machine does not have do not count.
    """
    if which == "gpu":  # those that were counted, or none
        return xr.zeros_like(energy.status.isel(session=0, drop=True), dtype=bool)
    counted = (energy.basis == MEASURED).any("session")
    estimated = ((energy.basis != MEASURED) & (energy.basis != ABSENT)).any("session")
    counted_there, estimated_there = (v.sel(baseline, drop=True) for v in (counted, estimated))
    mixed = (counted | counted_there) & (estimated | estimated_there)
    return mixed.any("component")


def per_token(energy: xr.Dataset, which: str = "all", net: bool = False) -> xr.DataArray:
    """Energy per generated token of every session, in J; see `compared_energy`."""
    return compared_energy(energy, which, net) / energy.tokens_written


def by_phase(energy: xr.Dataset) -> tuple[xr.DataArray, xr.DataArray]:
    """J per prompt token of prefill, and J per token of decode; NaN where phases were not measured.

    Windows with one generated token per request are prefill; what a whole run takes more, over the
    tokens that it writes more, is decode (the rule of optimum-benchmark).
    """
    first = energy.prefill_energy.sum("component", skipna=False) / energy.prefill_runs
    whole = energy.energy.sum("component", skipna=False) / energy.runs
    read = energy.prefill_tokens_read / energy.prefill_runs
    more = (energy.tokens_written / energy.runs) - energy.prefill_requests
    return first / read, (whole - first) / more.where(more > 0)


def estimated_share(energy: xr.Dataset) -> xr.DataArray:
    """Share of the energy of all components that no counter measured."""
    whole = energy.energy.sum("component", skipna=False)
    counted = energy.energy.where(energy.basis == MEASURED, 0).sum("component")
    return 1 - counted / whole.where(whole != 0)


def guessed_share(energy: xr.Dataset) -> xr.DataArray:
    """Share of the energy of all components that is a guess: an estimate without a source."""
    whole = energy.energy.sum("component", skipna=False)
    guessed = energy.energy.where(energy.basis == GUESS, 0).sum("component")
    return guessed / whole.where(whole != 0)


def boards(energy: xr.Dataset) -> xr.DataArray:
    """On what a session ran: host and GPUs."""
    return xr.apply_ufunc(np.char.add, energy.host.astype(str), energy.gpu_uuid.astype(str))


def speed(energy: xr.Dataset) -> xr.DataArray:
    """Generated tokens per second, mean over sessions."""
    return (energy.tokens_written / energy.duration).mean("session")


def seconds_per_token(energy: xr.Dataset) -> xr.DataArray:
    """Wall time per generated token, of all requests that run at a time; mean over sessions."""
    return (energy.duration / energy.tokens_written).mean("session")
