"""Merge the records of a study into one dataset, and list what is missing."""

import csv
from pathlib import Path

from joulegrid import dataset, jobs
from joulegrid.records import InputError
from joulegrid.study.loading import Study
from joulegrid.study.specs import Specs


def main(arguments, spec):
    """Write the tree of energy, quality, training and checkpoints; with --missing also the list of what is not ok."""
    specs = Specs(study_of(spec))
    tree, missing = dataset.merge(specs, Path(arguments.results))
    lost = [row for row in missing if row["status"] in ("missing", "stale")]
    if lost and not arguments.missing:
        lines = "\n".join(f"{row['path']}: {row['status']} {row['reason']}" for row in lost[:20])
        raise InputError(f"{lines}\n{len(lost)} records cannot be used; delete them and run snakemake again")
    tree.attrs["environment"] = spec["packages"]
    dataset.write(tree, Path(arguments.output))
    for row in missing:
        jobs.say(f"{row['status']}: {row['path']} {row['reason']}")
    if arguments.missing:
        with open(arguments.missing, "w", newline="", encoding="utf-8") as stream:
            writer = csv.DictWriter(stream, ["kind", "path", "status", "reason"])
            writer.writeheader()
            writer.writerows(missing)


def study_of(spec):
    """The study as the merge needs it: no ranking and carbon, these come later and invalidate no merge."""
    return Study(spec["study"], "spec", spec["resolved"])


if __name__ == "__main__":
    jobs.run(main, "results", "output", optional=("missing",))
