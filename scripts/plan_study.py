"""Print and write the plan of a study: what is there, what a run would make, what cannot run, and
what the rest is expected to take.
"""

import argparse
import json
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

from joulegrid.jobs import run
from joulegrid.planning import plan as planning
from joulegrid.planning import sharing, submission, tables
from joulegrid.planning.load import Load, Share
from joulegrid.planning.ranges import times
from joulegrid.planning.takes import Takes
from joulegrid.planning.words import text, zone
from joulegrid.study import only, sites
from joulegrid.study.conclusions import study_of
from joulegrid.study.specs import Specs
from joulegrid.study.study import Study

SHOWN = 12


def main() -> None:
    """See the options."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--study", type=json.loads, required=True, help="the study, as JSON")
    parser.add_argument("--output", type=Path, required=True, help="the folder to write to")
    parser.add_argument("--jobs", type=int, default=1, help="how many jobs run at a time")
    parser.add_argument("--deadline", help="by when the run shall be done")
    parser.add_argument("--only", help="the part of the study, as axis=label,label axis=label")
    arguments = parser.parse_args()
    study = study_of(arguments.study)
    site = sites.data_of(study.data.get("site"))
    specs, artifacts = Specs(study), sites.artifacts_of(study.data.get("site"))
    part = only.part_of(study, arguments.only) if arguments.only else None
    plan = planning.of_study(specs, artifacts, arguments.jobs, site, part)
    # what sharing saves is said of whole studies
    shared = [] if part else sharing.of_study(specs, artifacts, plan.cells, site)
    tables.write(plan, arguments.output, shared)
    (arguments.output / "begins.tsv").unlink(missing_ok=True)
    later = shifted(study, plan, arguments) if arguments.deadline else []
    if part:
        print(f"a part of the study, {part.words}: {len(part.cells)} of {len(study.cells)} cells")
    for line in [*lines(plan), *sharing.lines(shared), *later]:
        print(line)
    print(
        f"written: {arguments.output}/plan.tsv, jobs.tsv, cells.tsv, total.tsv, sharing.tsv, "
        "calibration.tsv, plan.json"
    )


def shifted(study: Study, plan: planning.Plan, arguments: argparse.Namespace) -> list[str]:
    """When rounds begin that shall be done by the deadline, for people; and written to
    begins.tsv.
    """
    site = sites.load(study.data.get("site"), study)
    now = datetime.now(UTC)
    made = plan.cells, plan.to_run, plan.efforts
    said = submission.planned(study, site, *made, arguments.deadline, now)
    tables.write_table(submission.rows(said), arguments.output / "begins.tsv")
    return submission.lines(said)


def lines(plan: planning.Plan) -> list[str]:
    """The plan for people; ranges are what 80 % of outcomes lie between."""
    found = [*of_kinds(plan), *of_machines(plan, plan.shares)]
    if plan.open is not None:
        found.append("open until trained models are selected; beside the above at most:")
        found += [*of_kinds(plan.open)[1:], *of_machines(plan, plan.open.shares)]
        found += in_total(plan, plan.open, "of what is open, in total at most:")
    return [*found, *in_total(plan, plan, "in total:"), *calibrated(plan), *of_cells(plan)]


def of_kinds(load: planning.Plan | Load) -> list[str]:
    """How many jobs of each kind, and what those take that are no sessions."""
    found = [f"{'jobs':10} {'all':>7} {'there':>7} {'accepted':>9} {'to run':>7}"]
    for jobs in load.jobs:
        line = f"{jobs.kind:10} {jobs.jobs:7} {jobs.there:7} {jobs.accepted:9} {jobs.to_run:7}"
        effort = load.efforts.get(jobs.kind)
        if effort is not None:
            line += f"   {effort.predicted} predicted: {text(effort.hours)} h; {effort.rests_on}"
        elif jobs.to_run and jobs.kind not in ("energy", "steps"):
            line += "   not predicted"
        found.append(line)
    return found


def of_machines(plan: planning.Plan, shares: list[Share]) -> list[str]:
    """What each hardware entry has to do."""
    found = []
    for share in shares:
        found.append(
            f"{share.hardware}: {share.cells} cells, {share.unsupported} unsupported, "
            f"{share.infeasible} infeasible; {share.sessions} sessions, {share.there} "
            f"there, {share.to_run} to run"
        )
        timed = f", of {share.timed} the time" if share.timed else ""
        if share.predicted or share.timed:
            found.append(f"    {share.predicted} of them predicted{timed}; {share.rests_on}")
            found += spent(share.takes, plan)
        if share.takes.host_kwh:
            found.append(f"    CPU and memory by {share.host_rests_on}")
    return found


def in_total(plan: planning.Plan, load: planning.Plan | Load, title: str) -> list[str]:
    """Sessions and all other jobs, and what they need of disks and network."""
    found = [title, *(spent(load.total, plan) if load.total.hours.median else [])]
    found += [f"    {plan.today}"] if plan.today and load is plan else []
    beside = tables.host_unknown(load)
    if load.total.host_kwh and beside:
        found.append(
            f"    without CPU and memory of {', '.join(beside)}, of which nothing is known here yet"
        )
    for name, known in (("written", load.written), ("fetched from the hub", load.fetched)):
        if known.number:
            unknown = f", {known.unknown} of them of unknown size" if known.unknown else ""
            size = text(times(known.size, 1 / tables.GIGA))
            found.append(f"    weights {name}: {known.number}, {size} GB{unknown}")
    if judges := load.judges:
        read, written = (text(times(t, 1e-6)) for t in (judges.read, judges.written))
        cost = f"; {text(judges.usd)} USD" if judges.usd else ""
        found.append(
            f"    judges: {judges.requests} requests, {read} million tokens read, {written} written"
            f"{cost}"
        )
    return found if len(found) > 1 else []


def spent(takes: Takes, plan: planning.Plan) -> list[str]:
    """Hours, energy, CO2e and money."""
    at_a_time = f"{plan.at_a_time} job{'s' if plan.at_a_time > 1 else ''} at a time"
    found = [
        f"    {text(takes.hours)} h, {text(takes.gpu_hours)} GPU hours, "
        f"{text(takes.node_hours)} node hours; {text(takes.wall_hours)} h with {at_a_time}",
        f"    {text(takes.gpu_kwh)} kWh of the GPUs; of CPU and memory "
        + (f"{text(takes.host_kwh)} kWh" if takes.host_kwh else "nothing is known"),
    ]
    found += [f"    {zone(name)}: {text(grams)} g CO2e" for name, grams in takes.grams.items()]
    found += [
        f"    {name}, begun when it was best a day before: {text(grams)} g; at the best start "
        f"within a day, which nobody knows before: {text(takes.best_start[name])} g"
        for name, grams in takes.best_yesterday.items()
    ]
    return [*found, *([f"    {text(takes.money)} {plan.currency}"] if takes.money else [])]


def calibrated(plan: planning.Plan) -> list[str]:
    """How far off the measured cells are that ranges rest on, each predicted by the others."""
    found = []
    for group, told in plan.calibrated.items():
        known = {"time": told.time_off, "GPU energy": told.gpu_energy_off}
        off = [f"{name} {100 * share:.0f} %" for name, share in known.items() if share is not None]
        if off:
            found.append(f"    {', '.join(group)}: {', '.join(off)}; {told.rows} rows")
    if not found:
        return []
    return ["measured cells, each predicted by the others: off by, median", *found]


def of_cells(plan: planning.Plan) -> list[str]:
    """Why cells do not run, or are not predicted, and which to measure first."""
    found = []
    for title, key in (
        ("unsupported, no job is sent", "unsupported"),
        ("known not to fit, no job is sent (protocol.infeasible: try sends them)", "infeasible"),
        ("expected not to run, but sent", "doubtful"),
        ("slower than the format promises", "slower"),
        ("not predicted", "not_predicted"),
    ):
        reasons = Counter(
            row[key]
            for row in tables.cell_rows(plan)
            if row[key] and not (key == "not_predicted" and (row["infeasible"] or row["doubtful"]))
        )
        if reasons:
            found.append(f"{title}:")
            found += [f"    {n} × {why}" for why, n in reasons.most_common(SHOWN)]
    if plan.doubtful:
        reasons = Counter(plan.doubtful.values())
        found.append("expected to run out of memory while weights are made, but sent:")
        found += [f"    {n} × {why}" for why, n in reasons.most_common(SHOWN)]
    if plan.first:
        found.append("measured first, these narrow the ranges most:")
    for (hardware, engine, kernel), chosen in plan.first.items():
        found.append(f"    {hardware}, {engine}, {kernel}:")
        found += [f"        {'/'.join(cell)}" for cell in chosen]
    return found


if __name__ == "__main__":
    run.command(main)
