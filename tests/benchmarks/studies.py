"""What the plan says of the studies of publications, as the rows of the table in docs/studies.md.

PYTHONPATH=scripts:tests .venv/bin/python tests/benchmarks/studies.py
"""

import time

from joulegrid.planning import plan
from joulegrid.records import ROOT
from joulegrid.study import scale, study
from joulegrid.study.specs import Specs

FOLDER = ROOT / "config/studies"
HEADINGS = (
    "study",
    "cells",
    "do not fit",
    "jobs",
    "sessions",
    "predicted",
    "GPU h",
    "GPU kWh",
    "s",
)


def main():
    """A row per study that has a mini scale."""
    print(f"| {' | '.join(HEADINGS)} |\n|{' --- |' * len(HEADINGS)}")
    for path in sorted((FOLDER / scale.SCALES[0]).glob("*.yaml")):
        began = time.monotonic()
        found = plan.of_study(Specs(study.load([FOLDER / path.name])), "results")
        print(f"| {' | '.join(map(str, row(found)))} | {time.monotonic() - began:.1f} |")


def row(found):
    """Counts, and 80 % ranges of what is predicted, of all machines together."""
    jobs = sum(each.jobs for each in found.jobs if each.kind != "steps")
    sessions = sum(share.sessions for share in found.shares)
    waiting = [share for share in found.shares if share.predicted]
    return (
        found.study,
        len(found.cells),
        sum(bool(each.infeasible or each.unsupported) for each in found.cells),
        jobs,
        sessions,
        sum(share.predicted for share in waiting),
        text([share.gpu_hours for share in waiting]),
        text([share.gpu_kwh for share in waiting]),
    )


def text(parts):
    """Medians are added, and so are the ends of ranges of machines: none is better known."""
    if not parts:
        return "–"
    low, median, high = (sum(values) for values in zip(*parts, strict=True))
    return f"{median:.3g} ({low:.3g} to {high:.3g})"


if __name__ == "__main__":
    main()
