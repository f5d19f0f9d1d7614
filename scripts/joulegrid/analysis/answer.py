"""The answer in words: which cell of a place to take, why, how sure that is, and what would change
it.
"""

from collections.abc import Iterable
from typing import Any

import pandas as pd

from joulegrid.analysis.variables import NOT_MEANINGFUL
from joulegrid.study.grid import CELL_AXES, short_name

# So many names stand in a sentence; more are counted
MOST_NAMES = 3


def answer(rows: pd.DataFrame, baseline: dict[str, str], weight: float) -> str:
    """What to take of one place.

    Parameters
    ----------
    rows
        its rows of `ranked.table`.
    baseline
        the compared axes and their labels.
    weight
        of energy against quality, as the rows were ranked with.
    """
    ranked = rows[rows["rank"].notna()].sort_values("score", ascending=False, kind="stable")
    name = _namer(rows, baseline)
    if ranked.empty:
        reasons = "; ".join(dict.fromkeys(text for text in rows["note"] if text))
        return f"No answer yet: {reasons or 'nothing is measured'}."
    best = ranked.iloc[0]
    sentences = [_choice(best, name(best), _is_baseline(best, baseline))]
    sentences += _alternatives(best, ranked, name)
    sentences += _other_weights(rows, best, name, weight)
    sentences += _caution(best)
    sentences += _of_baseline(rows, best, baseline)
    return " ".join(sentences)


def _namer(rows: pd.DataFrame, baseline: dict[str, str]) -> Any:
    """A function from a row to its name: labels of the compared axes that differ."""
    axes = [axis for axis in CELL_AXES if axis in baseline and rows[axis].nunique() > 1]
    axes = axes or ["quantization"]
    return lambda row: short_name(row[axis] for axis in axes)


def _is_baseline(row: pd.Series, baseline: dict[str, str]) -> bool:
    return all(str(row[axis]) == label for axis, label in baseline.items())


def _choice(best: pd.Series, name: str, is_baseline: bool) -> str:
    if is_baseline:
        return f"Keep {name}, the baseline: nothing else has a higher score."
    saved, half = 100 * best["efficiency"], 100 * best["efficiency_ci95"]
    margin = "" if half != half else f" ± {_digits(half)}"
    quality, spread = best["quality"], 100 * best["quality_ci95"]
    within = "" if spread != spread else f" ± {spread:.1f}"
    at = "" if quality != quality else f" at {100 * quality:+.1f}{within} % quality"
    verb = (
        f"saves {saved:.0f} %{margin} of the"
        if saved >= 0
        else f"takes {-saved:.0f} %{margin} more"
    )
    return f"Take {name}: it {verb} energy{at}{_doubt(saved, half)}."


def _doubt(saved: float, half: float) -> str:
    """What is to be said of a saving with a wide interval, or without one."""
    if half != half:
        return "; its sessions are too few to show how sure that is"
    return ", which its sessions do not make sure" if abs(saved) < half else ""


def _digits(half: float) -> str:
    return f"{half:.0f}" if half >= 1 else f"{half:.1f}"


def _alternatives(best: pd.Series, ranked: pd.DataFrame, name: Any) -> list[str]:
    """Who shares the rank, and the probability that the best is the best."""
    behind = ranked.iloc[1:]
    others = behind[behind["rank"] == best["rank"]]
    if len(others):
        named = [name(row) for _, row in others.head(MOST_NAMES).iterrows()]
        return [f"{_listed(named, len(others))} cannot be told apart from it."]
    sure, ahead = best["best_probability"], best["beats_next"]
    if sure != sure or len(ranked) < 2:
        return []
    next_one = (
        "" if ahead != ahead else f", better than {name(behind.iloc[0])} with {_percent(ahead)}"
    )
    return [f"It is best with {_percent(sure)} probability{next_one}."]


def _percent(share: float) -> str:
    """For people: no probability is 100 % for being close to it."""
    return "more than 99 %" if 0.995 <= share < 1 else f"{100 * share:.0f} %"


def _listed(names: list[str], count: int) -> str:
    """The first names of so many."""
    if count > len(names):
        return f"{', '.join(names)} and {count - len(names)} more"
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))


def _other_weights(rows: pd.DataFrame, best: pd.Series, name: Any, weight: float) -> list[str]:
    """Who would win if quality, or energy, counted twice."""
    doubled = {
        "quality": weight / (weight + 2 * (1 - weight)),
        "energy": 2 * weight / (2 * weight + 1 - weight),
    }
    said = []
    for what, other in doubled.items():
        wins = rows[(rows["wins_from"] <= other) & (other < rows["wins_to"])]
        if weight not in (0, 1) and len(wins) and wins.index[0] != best.name:
            said.append(f"{name(wins.iloc[0])} would win if {what} counted twice.")
    return said


def _caution(best: pd.Series) -> Iterable[str]:
    """What of the numbers is no measurement, or says less than it seems."""
    if NOT_MEANINGFUL in str(best["note"]):  # empty notes come back as NaN from a CSV file
        yield f"{NOT_MEANINGFUL.capitalize()}."
    if best["estimated_share"] > 0:
        yield f"{100 * best['estimated_share']:.0f} % of the energy is estimated, not measured."
    if best["guessed_share"] > 0:
        yield f"{100 * best['guessed_share']:.0f} % is a guess."
    if best["other_basis"] == 1:
        yield "A counter measured a part of what is compared and a model estimated the rest."
    if best["disturbed"] > 0:
        yield "The machine was disturbed meanwhile."


def _of_baseline(rows: pd.DataFrame, best: pd.Series, baseline: dict[str, str]) -> Iterable[str]:
    """What saving is counted from is half of it."""
    disturbed = rows[rows["disturbed"] > 0]
    own = (disturbed[list(baseline)].astype(str) == pd.Series(baseline)).all(axis=1)
    if own.any() and not _is_baseline(best, baseline):
        yield "The machine was disturbed while the baseline was measured."
