"""List records that an upgrade left behind and that may be taken over; with a reason, take them
over; or take back.
"""

import argparse
import sys

from joulegrid.errors import InputError
from joulegrid.study import accept, sites, study
from joulegrid.study.shelf import Shelf, jobs_of
from joulegrid.study.specs import Specs

SHOWN = 12


def main() -> None:
    """See the options."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--configfile", nargs="+", required=True)
    parser.add_argument("--site")
    parser.add_argument("--reason", help="take over what is listed, for this reason")
    parser.add_argument("--retract", action="store_true", help="take back all that was taken over")
    arguments = parser.parse_args()
    found = study.load(arguments.configfile)
    specs = Specs(found)
    jobs = list(jobs_of(specs))
    shelf = Shelf(sites.load(arguments.site or found.data.get("site"), found).artifacts, jobs)
    if arguments.retract:
        retract(jobs, shelf)
    else:
        propose(specs, shelf, accept.predecessors(shelf.missing(jobs)), arguments.reason)


def propose(
    specs: Specs, shelf: Shelf, found: list[accept.Predecessor], reason: str | None
) -> None:
    """Print what could be kept, in groups of equal changes; keep it if a reason is given."""
    if not found:
        print(
            "nothing to accept: no record that is wanted has a predecessor differing in code or "
            "packages alone"
        )
        return
    groups: dict[tuple[str, ...], list[accept.Predecessor]] = {}
    for each in found:
        groups.setdefault(tuple(accept.changes(each, specs)), []).append(each)
    for changed, members in groups.items():
        kinds = {
            kind: sum(m.job.kind == kind for m in members)
            for kind in sorted({m.job.kind for m in members})
        }
        print(
            ", ".join(f"{count} {kind}" for kind, count in kinds.items())
            + " could be kept; since then"
        )
        for line in (
            *changed[:SHOWN],
            *([f"… and {len(changed) - SHOWN} more"] if len(changed) > SHOWN else []),
        ):
            print(f"    {line}")
        commits = sorted({str(m.record.get("git_commit")) for m in members})
        print(f"    made at {', '.join(commits[:3])}{' …' if len(commits) > 3 else ''}")
        for member in members[:3]:
            print(f"    {member.path}")
        if len(members) > 3:
            print(f"    … and {len(members) - 3} more")
    saved, hours = sum(each.gpu_hours for each in found), sum(each.hours for each in found)
    print(f"in all {len(found)} records, {saved:.2f} GPU hours, {hours:.2f} hours of jobs")
    if reason:
        accept.take_over(found, reason, shelf)
        accept.keep_listings(specs)
        print(f"taken over: {reason}; `snakemake retract` takes it back")
    else:
        print('if they stay valid: snakemake accept --config accept="the reason"')


def retract(jobs: list, shelf: Shelf) -> None:
    """Delete what was taken over."""
    taken = accept.accepted(jobs, shelf)
    for path, why in taken:
        print(f"{path}: taken from {why['from']} ({why['reason']}, {why['when']})")
    accept.retract(taken)
    print(f"{len(taken)} records taken back; those they were taken from are where they were")


if __name__ == "__main__":
    try:
        main()
    except InputError as error:
        sys.exit(f"error: {error}")
