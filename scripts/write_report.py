"""Write the report of a study: one HTML file that needs no network."""

from pathlib import Path

from joulegrid.analysis import storage
from joulegrid.jobs import run
from joulegrid.records import read_json
from joulegrid.report import page


def main(arguments, spec):
    """Write --output from the dataset, the charts and the study."""
    tree = storage.read(Path(arguments.study))
    charts = read_json(arguments.charts)["charts"]
    Path(arguments.output).write_text(page.render(tree, charts, spec["study"]), encoding="utf-8")


if __name__ == "__main__":
    run.conclude(main, "study", "charts", "output")
