"""List records that an upgrade left behind and that may be taken over; with a reason, take them
over; or take back.
"""

import argparse
import json
from collections import Counter

from joulegrid.jobs import run
from joulegrid.records import ROOT, git_commit
from joulegrid.study import accept, sites
from joulegrid.study.conclusions import study_of
from joulegrid.study.shelf import Shelf, jobs_of
from joulegrid.study.specs import Job, Specs

SHOWN = 12


def main() -> None:
    """See the options."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--study", type=json.loads, required=True, help="the study, as JSON")
    parser.add_argument("--command", default="", help="what takes over")
    parser.add_argument("--undo", default="", help="what takes back")
    parser.add_argument("--reason", help="take over what is listed, for this reason")
    parser.add_argument("--retract", action="store_true", help="take back all that was taken over")
    arguments = parser.parse_args()
    study = study_of(arguments.study)
    specs = Specs(study)
    jobs = list(jobs_of(specs))
    shelf = Shelf(sites.load(study.data.get("site"), study).artifacts, jobs)
    if arguments.retract:
        retract(jobs, shelf)
        return
    found, damaged = accept.predecessors(shelf.missing(jobs), shelf)
    for path in damaged:
        print(f"{path}: damaged, left out")
    if not found:
        print(
            "nothing to accept: no record that is wanted has a predecessor differing in code or "
            "packages alone"
        )
        return
    propose(specs, found)
    if arguments.reason:
        accept.take_over(found, arguments.reason, shelf)
        accept.keep_listings(specs)
        print(f"taken over: {arguments.reason}")
        print(f"to take it back: {arguments.undo}")
    else:
        print(f"if they stay valid: {arguments.command}")


def propose(specs: Specs, found: list[accept.Predecessor]) -> None:
    """Print what could be kept, in groups of equal changes."""
    groups: dict[str, list[accept.Predecessor]] = {}
    for each in found:
        groups.setdefault(json.dumps(accept.changes(each, specs)), []).append(each)
    for changed, members in groups.items():
        counts = sorted(Counter(member.job.kind for member in members).items())
        print(f"{', '.join(f'{n} {kind}' for kind, n in counts)} could be kept; since then")
        for kind, lines in json.loads(changed).items():
            for line in shortened(lines, SHOWN):
                print(f"    in its {kind}: {line}" if kind else f"    {line}")
        commits = sorted({str(member.record.get("git_commit")) for member in members})
        print(f"    made at {', '.join(shortened(commits, 3))}; now at {git_commit()}")
        told = {accept.reasons(why) for m in members if (why := accept.accepted_of(m.record))}
        for why in sorted(told):
            print(f"    accepted before: {why}")
        for line in shortened([member.path for member in members], 3):
            print(f"    {line}")
    saved, hours = sum(each.gpu_hours for each in found), sum(each.hours for each in found)
    print(f"in all {len(found)} records, {saved:.2f} GPU hours, {hours:.2f} hours of jobs")


def shortened(lines: list[str], count: int) -> list[str]:
    """The first `count` lines, and how many more there are."""
    return [*lines[:count], *([f"… and {len(lines) - count} more"] if len(lines) > count else [])]


def retract(jobs: list[Job], shelf: Shelf) -> None:
    """Delete what was taken over."""
    taken = accept.taken_over(jobs, shelf)
    made_on = accept.made_on(taken, jobs, shelf)
    for each in taken:
        why = each.accepted
        print(f"{each.path}: taken from {why['from']} ({accept.reasons(why)}, {why['when']})")
    accept.retract(taken, shelf)
    gone = [each.origin for each in taken if not (ROOT / each.origin).exists()]
    print(f"{len(taken)} records taken back; those they were taken from are where they were")
    for path in gone:
        print(f"{path}: but for this one, which is gone")
    if made_on:
        print("made on weights that were taken back; delete them to have them made again:")
        for path in made_on:
            print(f"    {path}")


if __name__ == "__main__":
    run.command(main)
