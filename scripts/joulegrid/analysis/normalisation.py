"""The terms of R: what of energy and quality enters w·(energy) + (1 − w)·(quality).

Tran, Jaumard and Delgado (2025, arXiv 2503.17783) weigh φ, energy efficiency against the base
model, with ρ, the mean of the quality metrics. Both have to be on one scale:

    relative    φ and ρ themselves: changes against the baseline, which has R = 0
    min-max     (x − min) / (max − min) of energy and of each metric over the cells of a place,
                turned so that 1 is the best of them and 0 the worst; ρ is their mean

Min–max uses the whole scale whatever the changes are worth: where all cells differ by 1 % of
energy and by half of the quality, both count alike. It depends on which cells are there, and the
baseline's R is not 0. With it a difference of R is one of φ, times `scale`.
"""

from typing import NamedTuple

import xarray as xr

from joulegrid.study.grid import CELL_AXES

RELATIVE, MIN_MAX = "relative", "min-max"


class Terms(NamedTuple):
    """What enters R, over the cell axes.

    `energy` is `scale` · φ + `offset`, so that what is known of φ is known of it.
    """

    energy: xr.DataArray
    quality: xr.DataArray
    scale: xr.DataArray
    offset: xr.DataArray


def terms(
    how: str,
    phi: xr.DataArray,
    rho: xr.DataArray,
    metrics: xr.DataArray,
    compared: list[str],
) -> Terms:
    """The terms of R.

    Parameters
    ----------
    how
        "relative" or "min-max".
    phi, rho
        of every cell, over the cell axes.
    metrics
        every metric that counts, more is better, over the configuration's axes and `metric`.
    compared
        the axes along which a place has its cells.

    Returns
    -------
    The terms; NaN where φ is, or some metric is not known. Where all cells of a place are equal in
    something, it tells them not apart and is 0.
    """
    if how == RELATIVE:
        one = xr.ones_like(phi)
        return Terms(phi, rho, one, 0 * one)
    least, range_ = _range(phi, compared)
    scale = xr.where(range_ > 0, 1 / range_.where(range_ > 0, 1), 0).broadcast_like(phi)
    offset = -least * scale
    here = metrics.where(phi.notnull())
    quality = quality_share(here, here, compared)
    found = (phi * scale + offset, quality, scale, offset)
    return Terms(*(each.transpose(*CELL_AXES) for each in found))


def quality_share(metrics: xr.DataArray, here: xr.DataArray, compared: list[str]) -> xr.DataArray:
    """Mean over metrics of where they stand between the worst (0) and the best (1) of `here`, the
    metrics of the cells of a place; 0 of one in which all of these are equal.
    """
    worst, span = _range(here, compared)
    share = ((metrics - worst) / span.where(span > 0)).where(span != 0, 0.0)
    return share.where(metrics.notnull()).mean("metric", skipna=False)


def _range(values: xr.DataArray, compared: list[str]) -> tuple[xr.DataArray, xr.DataArray]:
    """The least value of every place, and how far from it the greatest is."""
    axes = [axis for axis in compared if axis in values.dims]
    least = values.min(axes)
    return least, values.max(axes) - least
