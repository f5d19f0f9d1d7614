"""Print and write the plan of a study: what is there, what a run would make, what cannot run, and
what the rest is expected to take.
"""

import argparse
import json
from collections import Counter
from pathlib import Path

from joulegrid.jobs import run
from joulegrid.planning import cells
from joulegrid.planning import plan as planning
from joulegrid.planning.ranges import Range
from joulegrid.study import sites
from joulegrid.study.conclusions import study_of
from joulegrid.study.specs import Specs

SHOWN = 12


def main() -> None:
    """See the options."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--study", type=json.loads, required=True, help="the study, as JSON")
    parser.add_argument("--output", type=Path, required=True, help="the folder to write to")
    arguments = parser.parse_args()
    study = study_of(arguments.study)
    plan = planning.of_study(Specs(study), sites.artifacts_of(study.data.get("site")))
    planning.write(plan, arguments.output)
    for line in lines(plan):
        print(line)
    print(f"written: {arguments.output}/plan.tsv, cells.tsv, plan.json")


def lines(plan: planning.Plan) -> list[str]:
    """The plan for people; ranges are what 80 % of outcomes lie between."""
    found = [f"{'jobs':10} {'all':>7} {'there':>7} {'accepted':>9} {'to run':>7}"]
    found += [*map(line_of, plan.jobs), *lines_of(plan.shares)]
    if plan.open is not None:
        found.append("open until trained models are selected; beside the above at most:")
        found += [*map(line_of, plan.open.jobs), *lines_of(plan.open.shares)]
    for title, key in (
        ("unsupported, no job is sent", "unsupported"),
        ("known not to fit, no job is sent (protocol.infeasible: try sends them)", "infeasible"),
        ("expected not to run, but sent", "doubtful"),
        ("slower than the format promises", "slower"),
        ("not predicted", "not_predicted"),
    ):
        reasons = Counter(row[key] for row in planning.cell_rows(plan) if row[key])
        if reasons:
            found.append(f"{title}:")
            found += [f"    {n} × {why}" for why, n in reasons.most_common(SHOWN)]
    first = cells.measured_first(plan.cells)
    if first:
        found.append(
            "measured first, these narrow the ranges most (snakemake pilot: one session each):"
        )
    for (hardware, engine, kernel), chosen in first.items():
        found.append(f"    {hardware}, {engine}, {kernel}:")
        found += [f"        {'/'.join(cell)}" for cell in chosen]
    return found


def line_of(jobs: planning.Jobs) -> str:
    """How many jobs of a kind there are."""
    return f"{jobs.kind:10} {jobs.jobs:7} {jobs.there:7} {jobs.accepted:9} {jobs.to_run:7}"


def lines_of(shares: list[planning.Share]) -> list[str]:
    """What each hardware entry has to do."""
    found = []
    for share in shares:
        found.append(
            f"{share.hardware}: {share.cells} cells, {share.unsupported} unsupported, "
            f"{share.infeasible} infeasible; {share.sessions} sessions, {share.there} "
            f"there, {share.to_run} to run"
        )
        if share.predicted:
            found.append(
                f"    {share.predicted} of them predicted: {text(share.hours)} h, "
                f"{text(share.gpu_hours)} GPU hours, {text(share.gpu_kwh)} kWh of the GPUs; "
                f"{share.rests_on}"
            )
            found += [f"    {zone}: {text(grams)} g CO2e" for zone, grams in share.grams.items()]
    return found


def text(values: Range) -> str:
    """Median, and the range."""
    return f"{values.median:.3g} ({values.low:.3g} to {values.high:.3g})"


if __name__ == "__main__":
    run.command(main)
