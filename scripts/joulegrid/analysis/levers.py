"""Three levers on emissions, each as the share that it saves: compress the model, move the job to
another zone, shift it in time.

They stay apart: what is left after several of them is the product of what each leaves, since
emissions are energy × PUE × intensity.
"""

from typing import Any

import xarray as xr

from joulegrid.analysis.comparison import chosen_in, compare
from joulegrid.analysis.concluded import LEVERS
from joulegrid.analysis.intensity import BOUNDS
from joulegrid.study.grid import CELL_AXES
from joulegrid.study.zones import DIRECT, LIFE_CYCLE


def account(
    tree: xr.DataTree, ranking: xr.Dataset, carbon: xr.Dataset, grid: xr.Dataset
) -> xr.Dataset:
    """The variables of `concluded.LEVERS`.

    Parameters
    ----------
    ranking, carbon, grid
        what `comparison.compare`, `carbon.account` and `carbon.with_series` gave.

    Returns
    -------
    `compress` over the cell axes, `move` over the zones `zone` and `to`, `move_hours` and `shift`
    over those with an hourly series; empty where there is one zone and no such series, thus nothing
    to weigh compressing against.
    """
    intensity = carbon.intensity.drop_attrs()
    found = {}
    if intensity.sizes["zone"] > 1:
        move = 1 - intensity.rename(zone="to") / intensity.where(intensity > 0)
        basis = carbon.intensity_basis.drop_attrs()
        comparable = _comparable(basis, basis.rename(zone="to"))
        found["move"] = move.where(comparable)
        if "hourly_ratio" in grid:
            # where the other zone emits most, moving saves least
            bounds = grid.hourly_ratio.sel(bound=["high", "low"]).assign_coords(bound=list(BOUNDS))
            bounds = bounds.reindex(zone=intensity.zone.values, to=intensity.zone.values)
            found["move_hours"] = (1 - bounds).where(comparable)
    if grid:
        now = grid.start_intensity.sel(start="now", drop=True)
        later = grid.start_intensity.sel(start=["foresight", "yesterday"])
        shift = 1 - later / now.where(now > 0)
        found["shift"] = shift.reindex(zone=intensity.zone)
    if not found:
        return xr.Dataset()
    found["compress"], found["compress_ci95"] = _compress(tree, ranking, carbon.pue)
    order = (*CELL_AXES, "zone", "to")
    return xr.Dataset(
        {
            name: array.transpose(*order, ..., missing_dims="ignore").assign_attrs(
                LEVERS[name].attrs
            )
            for name, array in found.items()
        }
    )


def _comparable(basis: xr.DataArray, other: xr.DataArray) -> xr.DataArray:
    """False between emissions of power plants alone and those of their life cycle."""
    unlike = ((basis == DIRECT) & (other == LIFE_CYCLE)) | (
        (basis == LIFE_CYCLE) & (other == DIRECT)
    )
    return ~unlike


def _compress(
    tree: xr.DataTree, ranking: xr.Dataset, pue: xr.DataArray
) -> tuple[xr.DataArray, xr.DataArray]:
    """Share of emissions saved against the baseline, and the half width of its interval: of the
    energy of all components, whatever the ranking compares, and of both machines' PUE.
    """
    chosen = chosen_in(ranking.attrs)
    if chosen["energy"] != "all" or chosen["net"]:
        ranking = compare(tree, {**chosen, "energy": "all", "net": False})
    factor = pue.drop_attrs()
    if "hardware" in chosen["baseline"]:
        factor = factor / factor.sel(hardware=chosen["baseline"]["hardware"], drop=True)
    else:
        factor = xr.ones_like(factor)
    saved = 1 - (1 - ranking.efficiency.drop_attrs()) * factor
    return saved, ranking.efficiency_ci95.drop_attrs() * factor


def even_at(intensity: Any, saved: Any) -> Any:
    """Intensity in g/kWh of the zone in which the baseline emits as much as what saves `saved` does
    at `intensity`: the break-even of compressing and moving.
    """
    return intensity * (1 - saved)


def break_even(
    here: float,
    others: dict[str, float],
    zone: str,
    saved: float,
    half: float,
    names: tuple[str, str],
) -> str:
    """In words where the baseline would have to run to emit as little as a compressed cell does in
    `zone`.

    Parameters
    ----------
    here, others
        g/kWh of `zone`, and of those that it can be compared with.
    saved, half
        of the compressed cell: share and half width of its 95 % interval, NaN where there is none.
    names
        of the compressed cell and of the baseline.
    """
    even, margin = even_at(here, saved), here * half
    known = margin == margin
    near = margin if known else 0.0
    more = [other for other, g in others.items() if even - g > near]
    less = [other for other, g in others.items() if g - even > near]
    same = [other for other in others if other not in (*more, *less)]
    said = [
        f"{verb} {_listed(which)}"
        for verb, which in (("more than in", more), ("as much as in", same), ("less than in", less))
        if which
    ]
    compressed, full = names
    within = f" ± {margin:.3g}" if known else ""
    return (
        f"{compressed} in {zone} ({here:.4g} g/kWh) emits as much as {full} in a zone with "
        f"{even:.4g}{within} g/kWh" + (f": {', '.join(said)}." if said else ".")
    )


def _listed(zones: list[str]) -> str:
    return " and ".join(filter(None, [", ".join(zones[:-1]), zones[-1]]))
