"""From scores to a decision: who is best and how sure that is, who would be at another weight, who
meets what the study requires, who is on the Pareto front, and when the energy of making weights
has paid off.
"""

import numpy as np
import xarray as xr

# Draws behind a probability, and their seed
DRAWS, SEED = 1000, 0
GIGA = 1e9
# Cells whose place among those of the front is looked for at once
CHUNK = 256


def best_probability(scores: np.ndarray, errors: np.ndarray, freedoms: np.ndarray) -> np.ndarray:
    """Probability of each cell to have the highest score of its place.

    Scores are drawn from Student's t distributions around their means. Each is relative to the
    baseline, whose own spread all of them share: it moves all of them at once, or, seen from them,
    the baseline alone, whose score has no error. Half of the smallest squared error is taken for
    it, as where baseline and the steadiest cell are measured equally well.

    Parameters
    ----------
    scores, errors, freedoms
        shape (places, cells): mean, its standard error, degrees of freedom; NaN where there is no
        score, or an error is not known.

    Returns
    -------
    Shape (places, cells); NaN in places where some error is not known (one session).
    """
    found = np.full(scores.shape, np.nan)
    for place, (mean, error, freedom) in enumerate(zip(scores, errors, freedoms, strict=True)):
        known = np.flatnonzero(np.isfinite(mean))
        if not known.size or not np.isfinite(error[known]).all():
            continue
        squared = error[known] ** 2
        shared = squared[squared > 0].min(initial=np.inf) / 2
        own = np.sqrt(np.where(squared > 0, squared - shared, shared)) if shared < np.inf else 0
        random = np.random.default_rng(SEED)
        # the baseline's score, which has no error, has no degrees of freedom either
        fewest = np.fmin.reduce(freedom[known], initial=np.inf)
        degrees = np.nan_to_num(freedom[known], nan=fewest if fewest < np.inf else 1)
        drawn = random.standard_t(degrees, (DRAWS, known.size))
        drawn = mean[known] + own * drawn
        best = drawn == drawn.max(axis=1, keepdims=True)
        found[place, known] = (best / best.sum(axis=1, keepdims=True)).mean(axis=0)
    return found


def winning_weights(phi: np.ndarray, rho: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The interval of weights w in which each cell has the highest R = w·φ + (1 − w)·ρ.

    R is a line over w, so that the winners are the upper envelope of lines, and each of them wins
    in one interval.

    Parameters
    ----------
    phi, rho
        shape (places, cells); NaN where there is none.

    Returns
    -------
    Begin and end of the intervals, same shape; NaN where a cell never wins.
    """
    begins, ends = np.full(phi.shape, np.nan), np.full(phi.shape, np.nan)
    for place, (saved, kept) in enumerate(zip(phi, rho, strict=True)):
        weight, cell = 0.0, _winner(saved, kept, 0.0)
        while cell is not None:
            crossing, behind = _next_crossing(saved, kept, cell, weight)
            begins[place, cell], ends[place, cell] = weight, min(crossing, 1.0)
            weight, cell = crossing, behind
    return begins, ends


def _winner(saved: np.ndarray, kept: np.ndarray, weight: float) -> int | None:
    """The cell with the highest score; of several, the one that gains most with the weight."""
    scores = weight * saved + (1 - weight) * kept
    known = np.flatnonzero(np.isfinite(scores))
    if not known.size:
        return None
    best = known[scores[known] == scores[known].max()]
    return int(best[np.argmax(saved[best] - kept[best])])


def _next_crossing(
    saved: np.ndarray, kept: np.ndarray, cell: int, weight: float
) -> tuple[float, int | None]:
    """Where the line of a cell that leads at `weight` is crossed first, and by which cell."""
    slope, gap = saved - kept, kept[cell] - kept
    with np.errstate(invalid="ignore", divide="ignore"):
        at = np.where(slope > slope[cell], gap / (slope - slope[cell]), np.inf)
    at = np.where(np.isfinite(at), np.maximum(at, weight), np.inf)
    first = at.min()
    if first >= 1:
        return 1.0, None
    crossing = np.flatnonzero(at == first)
    return float(first), int(crossing[np.argmax(slope[crossing])])


def pareto_front(*costs: np.ndarray) -> np.ndarray:
    """1 where no other cell of the same row is as good in every objective and better in one, 0
    where one is.

    Parameters
    ----------
    costs
        of each objective shape (places, cells), less is better. NaN where it is not known: such a
        cell is neither on the front nor before another.
    """
    front = np.full(costs[0].shape, np.nan)
    for row, place in enumerate(np.stack(costs, axis=-1)):
        known = np.flatnonzero(np.isfinite(place).all(axis=1))
        # in this order no cell is behind a later one
        ordered = known[np.lexsort(place[known].T)]
        leading = place[:0]
        for first in range(0, known.size, CHUNK):
            chunk = ordered[first : first + CHUNK]
            cells = place[chunk]
            behind = _is_behind(cells, np.concatenate([leading, cells]))
            front[row, chunk] = ~behind
            leading = np.concatenate([leading, cells[~behind]])
    return front


def _is_behind(cells: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Whether some of `others` is as good as a cell in every objective and better in one; both of
    shape (…, objectives).
    """
    shape = len(cells), len(others)
    as_good, better = np.ones(shape, bool), np.zeros(shape, bool)
    for own, other in zip(cells.T[..., None], others.T, strict=True):
        as_good &= other <= own
        better |= other < own
    return np.asarray((as_good & better).any(axis=1))


def meets(
    require: dict[str, float], rho: xr.DataArray, speed: xr.DataArray, memory: xr.DataArray
) -> xr.DataArray:
    """1 where a cell meets what the study requires, 0 where not or where it is not known.

    Parameters
    ----------
    require
        `min_quality`, of the baseline's; `min_tokens_per_s`; `max_memory_gb`.
    rho
        relative change of quality for the better.
    speed, memory
        tokens per second; bytes.
    """
    passed = xr.ones_like(rho, dtype=bool)
    if "min_quality" in require:
        passed = passed & (1 + rho >= require["min_quality"])
    if "min_tokens_per_s" in require:
        passed = passed & (speed >= require["min_tokens_per_s"])
    if "max_memory_gb" in require:
        passed = passed & (memory <= require["max_memory_gb"] * GIGA)
    return passed.astype("f8")


def paid_off_after(
    making_j: xr.DataArray, saved_j_per_token: xr.DataArray, baseline: dict[str, str]
) -> xr.DataArray:
    """Generated tokens after which what making the weights took is saved, beyond what making those
    of the baseline took; infinite where nothing is saved.

    Parameters
    ----------
    making_j
        of each configuration; what others took to make the baseline's is not known, and counts as
        nothing.
    """
    axes = {axis: label for axis, label in baseline.items() if axis in making_j.dims}
    more_j = (making_j - making_j.sel(axes, drop=True).fillna(0)).clip(min=0)
    saves = saved_j_per_token > 0
    free = (more_j == 0) & (saved_j_per_token == 0)
    found = xr.where(saves, more_j / saved_j_per_token, xr.where(free, 0.0, np.inf))
    return found.where(saved_j_per_token.notnull() & more_j.notnull())
