"""Draw the figures of a study: an SVG each, and their Vega-Lite specifications for the report."""

from pathlib import Path

from joulegrid.analysis import storage
from joulegrid.jobs import run
from joulegrid.records import SCHEMA_VERSION, write_json
from joulegrid.report import figures


def main(arguments, spec):
    """Write one SVG per figure beside --charts, and all specifications into --charts."""
    tree = storage.read(Path(arguments.study))
    charts = figures.draw(tree)
    folder = Path(arguments.charts).parent
    for name, chart in charts.items():
        chart.save(folder / f"{name}.svg")
    drawn = {name: figures.fitted(chart.to_dict()) for name, chart in charts.items()}
    write_json(arguments.charts, {"schema_version": SCHEMA_VERSION, "charts": drawn})


if __name__ == "__main__":
    run.conclude(main, "study", "charts")
