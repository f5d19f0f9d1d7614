"""Write the report of a study: one HTML file that needs no network."""

from pathlib import Path

from joulegrid import dataset, jobs, report
from joulegrid.records import read_json


def main(arguments, spec):
    """Write --output from the dataset, the charts and the study."""
    tree = dataset.read(Path(arguments.study))
    charts = read_json(arguments.charts)["charts"]
    Path(arguments.output).write_text(report.render(tree, charts, spec["study"]), encoding="utf-8")


if __name__ == "__main__":
    jobs.run(main, "study", "charts", "output")
