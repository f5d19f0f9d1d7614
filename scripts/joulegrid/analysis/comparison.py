"""Compare cells by R = w·φ + (1 − w)·ρ (Tran, Jaumard and Delgado 2025, arXiv 2503.17783), within
places.

The axes that the study's baseline names are compared; all others are places. Within a place
everything is relative to the baseline cell, which has φ = ρ = R = 0, so that 0 is "as the
baseline", +0.1 "ten percent better", and w trades like for like:

    φ = (E_base − E) / |E_base|                         energy saved per generated token
    ρ = mean over metrics of ± (q − q_base) / |q_base|  + where higher is better, − where lower is

The study may weigh min–max terms instead of φ and ρ, see `normalisation`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from joulegrid.analysis import (
    decision,
    energies,
    normalisation,
    relative,
    replays,
    samples,
    selected,
    statistics,
    ties,
)
from joulegrid.analysis.concluded import RANKING
from joulegrid.analysis.statistics import mean_over_sessions
from joulegrid.study.grid import CELL_AXES

# Standard error and degrees of freedom
Error = tuple[xr.DataArray, xr.DataArray]


def efficiency(joules: xr.DataArray, baseline: dict[str, str]) -> xr.DataArray:
    """φ of every cell. `baseline` maps the compared axes to labels."""
    return 0 - relative.relative_change(joules, joules.sel(baseline, drop=True))


@dataclass(frozen=True)
class Compared:
    """What a comparison knows of the cells whatever the weight; each over the cell axes, unless it
    says otherwise.
    """

    chosen: dict[str, Any]
    # the variables of `concluded.RANKING` that no weight changes
    known: dict[str, xr.DataArray]
    term: normalisation.Terms
    # φ in each session (also over `session`), and on what it ran
    in_sessions: xr.DataArray
    board: xr.DataArray
    # standard error and degrees of freedom of the two terms
    energy_error: Error
    quality_error: Error
    # the term of quality over resamples of its samples (also over `draw`)
    drawn: xr.DataArray


def compare(tree: xr.DataTree, chosen: dict[str, Any]) -> xr.Dataset:
    """φ, ρ, R, rank and Pareto front of every cell, within its place.

    Parameters
    ----------
    chosen
        the study's ranking: `weight`, w, of energy, from 0 (quality alone) to 1 (energy alone);
        `baseline`, axis -> label of the compared axes; `metrics`; `normalisation`, see
        `normalisation.terms`; `energy` and `net`, see `energies.compared_energy`; `require`, see
        `decision.meets`: what does not meet it has no rank; `objectives` of the Pareto front.

    Returns
    -------
    Dataset over the cell axes with the variables of `concluded.RANKING`. Rank 1 is best; cells that
    sessions and samples cannot tell apart share a rank; NaN where a cell has no score.
    """
    found, weight = compared(tree, chosen), chosen["weight"]
    ranking = weighed(found, weight)
    beats = _by_place(_of_places(ties.beats_next), chosen["baseline"], *_replicates(found, weight))
    ranking["beats_next"] = RANKING["beats_next"].described(beats, *CELL_AXES)
    return ranking


def compared(tree: xr.DataTree, chosen: dict[str, Any]) -> Compared:
    """All of a comparison that no weight changes; see `compare`."""
    baseline, metrics = chosen["baseline"], chosen["metrics"]
    energy, quality = tree["energy"].to_dataset(), tree["quality"].to_dataset()
    sessions = energies.per_token(energy, chosen["energy"], chosen["net"])
    joules = mean_over_sessions(sessions)
    board = energies.boards(energy)
    unlike = energies.unlike(energy, chosen["energy"], baseline)
    if chosen["energy"] == "measured":  # sums over different components are not compared
        sessions = sessions.where(~unlike)
    phi, half, saves, error, freedom = _saving(sessions, board, baseline)
    pairs = relative.paired(tree, baseline, metrics)
    phi, rho = xr.broadcast(phi, pairs.rho())
    valued = relative.better_is_more(quality.quality, quality, metrics)
    roles = selected.roles(tree)
    own = roles != selected.FELL_OUT  # what fell out changes nothing of what is ranked
    term = normalisation.terms(chosen["normalisation"], phi.where(own), rho, valued, list(baseline))
    changes, samples_freedom = pairs.drawn_rho()
    rho_error = samples.error_of(changes, samples_freedom)
    drawn = relative.drawn_term(tree, chosen, changes, valued.where(term.energy.notnull()))
    # making is known of all components and with idling, whatever energy the study compares
    gross = energies.per_token(energy).mean("session")
    costs = {
        "energy": joules["mean"].where(own),
        "quality": -rho,
        "latency": replays.objective(tree, energies.seconds_per_token(energy), baseline),
        "memory": peak_bytes(energy),
    }
    meets = decision.meets(
        chosen["require"], rho, energies.speed(energy), peak_bytes(energy)
    ).where(own)
    winning = term.energy.where(meets == 1), term.quality
    known = {
        "energy_per_token": joules["mean"],
        "energy_per_token_ci95": joules["half_width"],
        "efficiency": phi,
        "efficiency_ci95": half,
        "saves_probability": saves,
        "quality": rho,
        "quality_ci95": samples.half_width(rho_error, samples_freedom).broadcast_like(rho),
        "energy_term": term.energy,
        "quality_term": term.quality,
        "wins_from": _by_place(_begins, baseline, *winning),
        "wins_to": _by_place(_ends, baseline, *winning),
        "meets": meets,
        "paid_off_after": decision.paid_off_after(
            tree["weights"].making_energy, gross.sel(baseline, drop=True) - gross, baseline
        ),
        "pareto": _by_place(
            decision.pareto_front, baseline, *(costs[name] for name in chosen["objectives"])
        ),
        "estimated_share": energies.estimated_share(energy).mean("session"),
        "guessed_share": energies.guessed_share(energy).mean("session"),
        "other_basis": unlike.astype("f8"),
        "disturbed": energy.disturbed.mean("session"),
        "other_board": _on_other_board(board, baseline),
        "selection": roles,
    }
    return Compared(
        chosen,
        {name: RANKING[name].described(array, *CELL_AXES) for name, array in known.items()},
        term,
        efficiency(sessions, baseline) * term.scale + term.offset,
        board,
        (term.scale * error, freedom),
        (samples.error_of(drawn, samples_freedom), samples_freedom),
        drawn,
    )


def weighed(found: Compared, weight: float) -> xr.Dataset:
    """The comparison at a weight of energy; see `compare`."""
    chosen, term = found.chosen, found.term
    baseline, passed = chosen["baseline"], found.known["meets"] == 1
    score = _score(term.energy, term.quality, weight)
    error = _error_of_score(weight, found.energy_error, found.quality_error)
    new = {
        "score": score,
        "score_ci95": samples.half_width(*error).where(score.notnull()),
        "best_probability": _by_place(
            decision.best_probability, baseline, score.where(passed), *error
        ),
        "rank": _by_place(_of_places(ties.ranks), baseline, *_replicates(found, weight)),
    }
    variables = found.known | {
        name: RANKING[name].described(array, *CELL_AXES) for name, array in new.items()
    }
    return xr.Dataset(
        {name: variables[name] for name in RANKING if name in variables},
        coords={axis: found.board[axis].values for axis in CELL_AXES},
        attrs={
            "weight": weight,
            "metrics": " ".join(chosen["metrics"]),
            "normalisation": chosen["normalisation"],
            "objectives": " ".join(chosen["objectives"]),
            "energy": chosen["energy"],
            "net": int(chosen["net"]),
            **{f"require_{k}": v for k, v in chosen["require"].items()},
            **{f"baseline_{k}": v for k, v in baseline.items()},
        },
    )


def _replicates(found: Compared, weight: float) -> tuple[xr.DataArray, ...]:
    """Score in each session of what meets the requirements, and on what it ran; what quality adds
    to it over resamples, and the degrees of freedom of that.
    """
    score = _score(found.in_sessions, found.term.quality, weight)
    passed = found.known["meets"] == 1
    drawn = (1 - weight) * found.drawn
    return score.where(passed), found.board, drawn, found.quality_error[1]


def chosen_in(attributes: Mapping[Any, Any]) -> dict[str, Any]:
    """What the study chose for a ranking, out of its attributes; see `compare`."""

    def under(prefix: str) -> dict[str, Any]:
        found = ((k, v) for k, v in attributes.items() if k.startswith(prefix))
        return {key.removeprefix(prefix): value for key, value in found}

    return {
        "weight": float(attributes["weight"]),
        "metrics": attributes["metrics"].split(),
        "normalisation": attributes["normalisation"],
        "objectives": attributes["objectives"].split(),
        "energy": attributes["energy"],
        "net": bool(attributes["net"]),
        "baseline": under("baseline_"),
        "require": under("require_"),
    }


def _score(phi: xr.DataArray, rho: xr.DataArray, weight: float) -> xr.DataArray:
    """R. A weight of 1 ranks on energy alone, also where no quality is known."""
    if weight == 1:
        return phi
    return rho.where(phi.notnull()) if weight == 0 else weight * phi + (1 - weight) * rho


def _error_of_score(weight: float, energy: Error, quality: Error) -> Error:
    """Standard error of R and its degrees of freedom, out of those of φ and ρ; of φ alone where
    that of ρ is not known.
    """
    if weight == 0:
        return quality
    parts = (weight * energy[0], energy[1]), ((1 - weight) * quality[0].fillna(0), quality[1])
    return statistics.together(*parts)


def _of_places(compute: Callable[..., np.ndarray]) -> Callable[..., np.ndarray]:
    """`compute` of one place, of (places, cells) out of (places, cells, sessions), twice, (places,
    cells, draws) and (places, cells).
    """

    def each(*arrays: np.ndarray) -> np.ndarray:
        return np.array([compute(*(a.T for a in place)) for place in zip(*arrays, strict=True)])

    return each


def _begins(phi: np.ndarray, rho: np.ndarray) -> np.ndarray:
    return decision.winning_weights(phi, rho)[0]


def _ends(phi: np.ndarray, rho: np.ndarray) -> np.ndarray:
    return decision.winning_weights(phi, rho)[1]


def _saving(
    sessions: xr.DataArray, board: xr.DataArray, baseline: dict[str, str]
) -> list[xr.DataArray]:
    """φ, half width of its interval, probability of a saving, standard error, degrees of freedom.

    All of the same sessions: where cell and baseline ran in pairs those of which both are there.
    """
    base = xr.broadcast(sessions.sel(baseline, drop=True), sessions)[0].transpose(*sessions.dims)
    same = board == board.sel(baseline, drop=True)
    arrays = [array.transpose("session", ...) for array in (sessions, base, same)]
    cells = arrays[0].isel(session=0, drop=True)
    saved = statistics.saving(*(array.values for array in arrays))
    sure = statistics.half_width(saved), statistics.probability_above_zero(saved)
    return [cells.copy(data=values) for values in (saved[0], *sure, *saved[1:])]


def peak_bytes(energy: xr.Dataset) -> xr.DataArray:
    """Peak bytes: of the GPUs where there are any, else of the process."""
    return energy.peak_gpu_memory.fillna(energy.peak_memory).max("session")


def _on_other_board(board: xr.DataArray, baseline: dict[str, str]) -> xr.DataArray:
    """1 where a session ran on another board than the same session of the baseline."""
    base = board.sel(baseline, drop=True)
    return ((board != base) & (board != "") & (base != "")).any("session").astype("f8")


def _by_place(
    compute: Callable[..., np.ndarray], baseline: dict[str, str], *arrays: xr.DataArray
) -> xr.DataArray:
    """`compute` on arrays of shape (places, compared cells, …), spread over the cell axes again."""
    compared = [axis for axis in CELL_AXES if axis in baseline]
    places = [axis for axis in CELL_AXES if axis not in baseline]
    alike = xr.broadcast(*arrays, exclude=("session", "draw"))
    full = [array.transpose(*places, *compared, ...) for array in alike]
    shape = full[0].shape[: len(CELL_AXES)]
    cells = int(np.prod(shape[len(places) :]))
    result = compute(*(a.values.reshape(-1, cells, *a.shape[len(shape) :]) for a in full))
    dims = (*places, *compared)
    coords = {axis: full[0][axis] for axis in dims}
    return xr.DataArray(np.asarray(result, "f8").reshape(shape), dims=dims, coords=coords)
