"""What a pilot does, simulated on published rows: the table of docs/planning.md. Of all rows of a
machine and kernel those that `pilot.chosen` names are taken as measured, and the rest is predicted.

`covered` is of studies that are drawn from a machine's rows, with some of its models each: in how
many of them the measured sum of energies lies in its 80 % range. Files that cannot be shipped are
read from below the folder that JOULEGRID_PUBLISHED names.
"""

from collections.abc import Sequence

import numpy as np

from benchmarks.planning import groups, off, prior, sets
from joulegrid.planning import pilot, ranges
from joulegrid.planning.posterior import Belief, Row, fit

COUNTS = (0, 3, 4, 5)
LEAST, STUDIES = 20, 40  # rows of a machine; studies drawn from one
MODELS = (3, 5, 8)  # of a study


def measured_first(rows: Sequence[Row], count: int) -> tuple[Belief, list[Row]]:
    """The belief after a pilot of so many rows, and the other rows."""
    before = prior(rows[0])
    first = pilot.chosen([row.case for row in rows], before, count) if count else []
    rest = [row for place, row in enumerate(rows) if place not in first]
    return fit([rows[place] for place in first], before), rest


def total(rows: Sequence[Row], belief: Belief) -> tuple[ranges.Range, float]:
    """What is said of the sum of energies, and what it was."""
    said = ranges.joules(ranges.forecast(row.case, belief) for row in rows)
    return said, sum(row.joules or 0.0 for row in rows)


def studies(rows: list[Row]) -> list[list[Row]]:
    """Rows of some models each, drawn at random."""
    rng = np.random.default_rng(0)
    models = list(dict.fromkeys(row.case.model for row in rows))
    found = []
    for number in range(STUDIES):
        size = min(MODELS[number % len(MODELS)], len(models))
        kept = {models[place] for place in rng.permutation(len(models))[:size]}
        found.append([row for row in rows if row.case.model in kept])
    return [each for each in found if len(each) > max(COUNTS) + 2]


def main() -> None:
    """Print a row per machine, and how often ranges cover in all of them."""
    print("| machine | rows | " + " | ".join(f"after {count}" for count in COUNTS) + " |")
    inside: dict[int, list[bool]] = {count: [] for count in COUNTS}
    for name, every in sets().items():
        for rows in groups([row for row in every if row.joules is not None]):
            if len(rows) < LEAST:
                continue
            told = []
            for count in COUNTS:
                belief, rest = measured_first(rows, count)
                (low, median, high), sum_j = total(rest, belief)
                errors = np.nanmedian([off(row, belief)[1] for row in rest])
                drawn = []
                for study in studies(rows):
                    said, measured = total(*reversed(measured_first(study, count)))
                    drawn.append(said.low <= measured <= said.high)
                inside[count] += drawn
                told.append(
                    f"{high / low:.2f}, {errors:.0f} %, {sum_j / median:.2f}"
                    f"{'' if low <= sum_j <= high else ' out'}, {100 * np.mean(drawn):.0f} %"
                )
            machine = rows[0].case.machine
            print(
                f"| {name}, {machine.device.name}, {rows[0].case.form.kernel} | {len(rows)} | "
                + " | ".join(told)
                + " |",
                flush=True,
            )
    for count, found in inside.items():
        print(f"covered after {count}: {100 * np.mean(found):.1f} % of {len(found)} studies")


if __name__ == "__main__":
    main()
