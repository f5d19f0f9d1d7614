"""The error table of docs/planning.md: how far predictions are from published measurements.

Files that cannot be shipped are read from below the folder that JOULEGRID_PUBLISHED names.
"""

import os

import numpy as np
from scipy.stats import spearmanr

from helpers import published
from joulegrid.planning import ranges
from joulegrid.planning.posterior import Row, defaults, expected, fit, leave_one_out

DRAWS, MOST = 10, 40


def sets() -> dict[str, list[Row]]:
    """Name -> rows; energies that are not of the GPUs alone are left out."""
    found = {name: published.of_set(name) for name in published.SETS}
    if published.ELSEWHERE:
        v3 = [row for _, row in published.rows_elsewhere("mlenergy_v3.csv")]
        found["ML.ENERGY v3 dense, vLLM 0.11"] = [r for r in v3 if published.is_dense(r)]
        found["ML.ENERGY v3 experts"] = [r for r in v3 if r.case.model.experts]
        found["ML.ENERGY v3 hybrid"] = [r for r in v3 if r.case.model.state_bytes]
        found["EcoCompute, bitsandbytes"] = [
            row for _, row in published.rows_elsewhere("ecocompute.csv")
        ]
    return found


def prior(row: Row):
    """The defaults for a row."""
    return defaults(row.case.machine, row.case.form.kernel)


def groups(rows: list[Row]) -> list[list[Row]]:
    """Rows of one machine, version of an engine and kernel."""
    found: dict[tuple, list[Row]] = {}
    for row in rows:
        machine = row.case.machine
        key = (machine.device.name, machine.engine, machine.version, row.case.form.kernel)
        found.setdefault(key, []).append(row)
    return list(found.values())


def off(row: Row, belief) -> tuple[float, float]:
    """Percent that predicted seconds and joules are off; NaN where not measured."""
    said = expected(row.case, belief)
    pairs = ((row.seconds, said.seconds), (row.joules, said.joules))
    return tuple(np.nan if m is None else 100 * abs(p / m - 1) for m, p in pairs)


def within(row: Row, belief) -> tuple[float, float]:
    """1 where the measured value lies in its range, 0 where not; NaN where not measured."""
    said = [ranges.forecast(row.case, belief)]
    found = []
    for value, (low, _, high) in (
        (row.seconds, ranges.seconds(said)),
        (row.joules, ranges.joules(said)),
    ):
        found.append(np.nan if value is None else float(low <= value <= high))
    return tuple(found)


def after(rows: list[Row], count: int) -> tuple[np.ndarray, np.ndarray]:
    """Errors and coverage on the rest after so many random rows of each group."""
    rng, errors, inside = np.random.default_rng(0), [], []
    for group in groups(rows):
        if len(group) < count + 2:
            continue
        for _ in range(DRAWS):
            order = rng.permutation(len(group))
            belief = fit([group[i] for i in order[:count]], prior(group[0]))
            for i in order[count : count + MOST]:
                errors.append(off(group[i], belief))
                inside.append(within(group[i], belief))
    return np.array(errors).reshape(-1, 2), np.array(inside).reshape(-1, 2)


def left_out(rows: list[Row]) -> np.ndarray:
    """Percent off for each row, predicted by the others of its group (the first of large ones)."""
    found = []
    for group in groups(rows):
        some = group[:MOST]
        others = leave_one_out([[row] for row in some], fit(some, prior(some[0])))
        found.append(100 * abs(1 / others - 1))
    return np.concatenate(found)


def text(values: np.ndarray, *quantiles: float) -> str:
    """Quantiles of what was measured, or a dash."""
    kept = values[~np.isnan(values)]
    return " / ".join(f"{np.quantile(kept, q):.0f}" for q in quantiles) if len(kept) else "–"


def rank(rows: list[Row]) -> str:
    """Spearman's correlation of J per token."""
    kept = [row for row in rows if row.joules is not None]
    if len(kept) < 10:
        return "–"
    tokens = np.array([row.case.work.tokens_out * row.case.work.requests for row in kept])
    said = [expected(row.case, prior(row)).joules for row in kept]
    return f"{spearmanr([r.joules for r in kept] / tokens, said / tokens).statistic:.2f}"


def main() -> None:
    """Print the table."""
    print("| set | n | energy | time | rank | left out | 1 | 3 | 5 | 10 | covered | after 5 |")
    for name, rows in sets().items():
        errors = np.array([off(row, prior(row)) for row in rows])
        inside = np.array([within(row, prior(row)) for row in rows])
        which = 1 if not np.isnan(errors[:, 1]).all() else 0
        later = {count: after(rows, count) for count in (1, 3, 5, 10)}
        covered = " / ".join(
            f"{100 * np.nanmean(inside[:, i]):.0f}"
            for i in (1, 0)
            if not np.isnan(inside[:, i]).all()
        )
        then = " / ".join(
            f"{100 * np.nanmean(later[5][1][:, i]):.0f}"
            for i in (1, 0)
            if len(later[5][1]) and not np.isnan(later[5][1][:, i]).all()
        )
        print(
            f"| {name} | {len(rows)} | {text(errors[:, 1], 0.5, 0.9, 1)} |"
            f" {text(errors[:, 0], 0.5, 0.9)} | {rank(rows)} |"
            f" {text(left_out(rows)[:, which], 0.5, 0.9)} | "
            + " | ".join(text(found[:, which], 0.5) for found, _ in later.values())
            + f" | {covered} | {then or '–'} |",
            flush=True,
        )
    if not os.environ.get("JOULEGRID_PUBLISHED"):
        print("JOULEGRID_PUBLISHED names no folder: sets that cannot be shipped are left out")


if __name__ == "__main__":
    main()
