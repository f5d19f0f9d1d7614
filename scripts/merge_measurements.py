"""Merge the records of a study into one dataset, and list what is missing."""

import csv
import gc
from pathlib import Path

from joulegrid.analysis import dataset, selecting, storage
from joulegrid.errors import InputError
from joulegrid.jobs import run
from joulegrid.study.conclusions import study_of
from joulegrid.study.infeasible import unpacked
from joulegrid.study.selection import content_of
from joulegrid.study.shelf import Shelf, jobs_of
from joulegrid.study.specs import Specs


def main(arguments, spec):
    """Write the tree of energy, quality, training and weights; with --missing also the list of what
    is not ok. Of a study that selects, --selection says what goes on.
    """
    gc.disable()  # nothing here is garbage: looking for it takes a third of the time
    specs = Specs(study_of(spec))
    shelf = Shelf(own=jobs_of(specs))
    if arguments.selection:
        content = content_of(Path(arguments.selection), spec["made_from"])
        if content is None and not arguments.missing:
            raise InputError(
                f"{arguments.selection}: it is not what decides this study; run snakemake again"
            )
        tree, missing = selecting.merged(specs, shelf, content, unpacked(spec))
    else:
        tree, missing = dataset.merge(specs, shelf, unpacked(spec))
    lost = [row for row in missing if row["status"] == "missing"]
    if lost and not arguments.missing:
        lines = "\n".join(f"{row['path']}: {row['status']} {row['reason']}" for row in lost[:20])
        raise InputError(
            f"{lines}\n{len(lost)} records cannot be used; delete them and run snakemake again"
        )
    storage.write(tree, Path(arguments.output))
    for row in missing:
        run.say(f"{row['status']}: {row['path']} {row['reason']}")
    if arguments.missing:
        with open(arguments.missing, "w", newline="", encoding="utf-8") as stream:
            writer = csv.DictWriter(stream, ["kind", "path", "status", "reason"])
            writer.writeheader()
            writer.writerows(missing)


if __name__ == "__main__":
    run.conclude(main, "output", optional=("missing", "selection"))
