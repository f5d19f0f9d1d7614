"""Write the report of a study: one HTML file that needs no network."""

from pathlib import Path

from joulegrid.analysis import storage
from joulegrid.jobs import run
from joulegrid.planning import beforehand
from joulegrid.records import read_json
from joulegrid.report import page


def main(arguments, spec):
    """Write --output from the dataset, the charts and the study, and from the plan of the study
    where one was made.
    """
    tree = storage.read(Path(arguments.study))
    charts = read_json(arguments.charts)["charts"]
    plan = planned(Path(arguments.output))
    Path(arguments.output).write_text(
        page.render(tree, charts, spec["study"], plan), encoding="utf-8"
    )


def planned(output):
    """The plan of the study; that of an unfinished study lies a folder above its page."""
    for folder in (output.parent, output.parent.parent):
        if found := beforehand.plan_at(folder / "plan/plan.json"):
            return found
    return {}


if __name__ == "__main__":
    run.conclude(main, "study", "charts", "output")
