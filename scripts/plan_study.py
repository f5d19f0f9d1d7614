"""Print and write the plan of a study: what is there, what a run would make, what cannot run, and
what the rest is expected to take.
"""

import argparse
import json
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

from joulegrid.jobs import run
from joulegrid.planning import cells, sharing, submission
from joulegrid.planning import plan as planning
from joulegrid.planning.ranges import Range
from joulegrid.study import sites
from joulegrid.study.conclusions import study_of
from joulegrid.study.specs import Specs
from joulegrid.study.study import Study

SHOWN = 12


def main() -> None:
    """See the options."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--study", type=json.loads, required=True, help="the study, as JSON")
    parser.add_argument("--output", type=Path, required=True, help="the folder to write to")
    parser.add_argument("--deadline", help="by when the run shall be done")
    arguments = parser.parse_args()
    study = study_of(arguments.study)
    specs, artifacts = Specs(study), sites.artifacts_of(study.data.get("site"))
    plan = planning.of_study(specs, artifacts)
    shared = sharing.of_study(specs, artifacts, plan.cells)
    planning.write(plan, arguments.output, shared)
    (arguments.output / "begins.tsv").unlink(missing_ok=True)
    later = shifted(study, plan, arguments) if arguments.deadline else []
    for line in [*lines(plan), *sharing.lines(shared), *later]:
        print(line)
    print(f"written: {arguments.output}/plan.tsv, cells.tsv, sharing.tsv, plan.json")


def shifted(study: Study, plan: planning.Plan, arguments: argparse.Namespace) -> list[str]:
    """When rounds begin that shall be done by the deadline, for people; and written to
    begins.tsv.
    """
    site = sites.load(study.data.get("site"), study)
    now = datetime.now(UTC)
    said = submission.planned(study, site, plan.cells, plan.to_run, arguments.deadline, now)
    planning.write_table(submission.rows(said), arguments.output / "begins.tsv")
    return submission.lines(said)


def lines(plan: planning.Plan) -> list[str]:
    """The plan for people; ranges are what 80 % of outcomes lie between."""
    found = [f"{'jobs':10} {'all':>7} {'there':>7} {'accepted':>9} {'to run':>7}"]
    for jobs in plan.jobs:
        found.append(
            f"{jobs.kind:10} {jobs.jobs:7} {jobs.there:7} {jobs.accepted:9} {jobs.to_run:7}"
        )
    for share in plan.shares:
        found.append(
            f"{share.hardware}: {share.cells} cells, {share.unsupported} unsupported, "
            f"{share.infeasible} expected not to run; {share.sessions} sessions, {share.there} "
            f"there, {share.to_run} to run"
        )
        if share.predicted:
            found.append(
                f"    {share.predicted} of them predicted: {text(share.hours)} h, "
                f"{text(share.gpu_hours)} GPU hours, {text(share.gpu_kwh)} kWh of the GPUs; "
                f"{share.rests_on}"
            )
            found += [f"    {zone}: {text(grams)} g CO2e" for zone, grams in share.grams.items()]
    for title, key in (
        ("unsupported, no job is sent", "unsupported"),
        ("expected not to run", "infeasible"),
        ("slower than the format promises", "slower"),
        ("not predicted", "not_predicted"),
    ):
        reasons = Counter(row[key] for row in planning.cell_rows(plan) if row[key])
        if reasons:
            found.append(f"{title}:")
            found += [f"    {n} × {why}" for why, n in reasons.most_common(SHOWN)]
    first = cells.measured_first(plan.cells)
    if first:
        found.append("measured first, these narrow the ranges most:")
    for (hardware, engine, kernel), chosen in first.items():
        found.append(f"    {hardware}, {engine}, {kernel}:")
        found += [f"        {'/'.join(cell)}" for cell in chosen]
    return found


def text(values: Range) -> str:
    """Median, and the range."""
    return f"{values.median:.3g} ({values.low:.3g} to {values.high:.3g})"


if __name__ == "__main__":
    run.command(main)
