"""Decide which trained models go on to the second loop, from the records of the first."""

import json
import sys
from pathlib import Path

from joulegrid.analysis import selecting
from joulegrid.jobs import run
from joulegrid.records import identity, write_json
from joulegrid.study.conclusions import study_of
from joulegrid.study.infeasible import unpacked
from joulegrid.study.shelf import Shelf, jobs_of
from joulegrid.study.specs import Specs


def main(arguments, spec):
    """Write selection.json; without --output print it, and write nothing."""
    specs = Specs(study_of(spec))
    shelf = Shelf(own=jobs_of(specs))
    decided = selecting.select(specs, shelf, spec["ranking"], unpacked(spec))
    found = {"id": identity(spec), **decided}
    if arguments.output is None:
        json.dump(found, sys.stdout)
        return
    for text in found["said"]:
        run.say(text)
    write_json(Path(arguments.output), found)


if __name__ == "__main__":
    run.conclude(main, optional=("output",))
