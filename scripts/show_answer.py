"""Print the ranked tables of a study and say where its report is: show_answer.py
results/studies/STUDY.
"""

import sys
import textwrap
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import xarray as xr

from joulegrid.analysis import comparison, judging, selected, storage, trained
from joulegrid.analysis.answer import answer
from joulegrid.analysis.begin import suggestion
from joulegrid.report import columns, evaluated
from joulegrid.study.grid import CELL_AXES

WIDTH = 100
# So many places, and rows of each, are printed; the rest is in ranking.csv
PLACES, ROWS = 5, 20
# Of the job whose start is suggested
JOB_HOURS = 6


def main(folder: Path) -> None:
    """One table per place, with the columns that say something."""
    attrs = storage.read_attributes(folder / "study.nc", "ranking")
    compared = [axis for axis in CELL_AXES if f"baseline_{axis}" in attrs]
    frame = pd.read_csv(
        folder / "ranking.csv", dtype=dict.fromkeys(CELL_AXES, str), keep_default_na=True
    )
    frame["rank"] = frame["rank"].astype("Int64")
    baseline = comparison.chosen_in(attrs)["baseline"]
    metrics = columns.of_metrics(name for name in attrs["metrics"].split())
    head, *rest = (column for column in columns.RANKING if column.brief)
    places = columns.places(frame, compared)
    for name, rows in places[:PLACES]:
        if name:
            print(name)
        shown = [head, *columns.of_axes(rows), *rest, *metrics, columns.NOTE]
        print_table(shown, rows.head(ROWS))
        print(f"and {len(rows) - ROWS} more\n" if len(rows) > ROWS else "")
        print(textwrap.fill(answer(rows, baseline, float(attrs["weight"])), WIDTH))
        print()
    if len(places) > PLACES:
        print(f"{len(places) - PLACES} more places: {folder / 'ranking.csv'}\n")
    for text in selected.sentences(storage.read_attributes(folder / "study.nc", "/")):
        print(f"{textwrap.fill(text, WIDTH)}\n")
    for text in trained.sentences(storage.read_group(folder / "study.nc", "training"))[:ROWS]:
        print(f"{textwrap.fill(text, WIDTH)}\n")
    judged, quality = (
        storage.read_group(folder / "study.nc", name) for name in ("judging", "quality")
    )
    for text in judging.sentences(judged, quality):
        print(f"{textwrap.fill(text, WIDTH)}\n")
    print_scores(quality)
    for name, text in evaluated.notes(storage.read_group(folder / "study.nc", "changes"))[:ROWS]:
        print(f"{textwrap.fill(f'{name}: {text}', WIDTH)}\n")
    for text in suggestions(folder / "study.nc", datetime.now(UTC).month):
        print(f"{textwrap.fill(text, WIDTH)}\n")
    named = ", ".join(f"{axis} {attrs[f'baseline_{axis}']}" for axis in compared)
    print(f"against {named}; R = {attrs['weight']:g}·φ + {1 - attrs['weight']:g}·ρ")
    print(f"report:  {folder / 'report.html'}\ndataset: {folder / 'study.nc'}")


def print_scores(quality: xr.Dataset) -> None:
    """What the verdicts of judges come to, by configuration."""
    for metric in quality.metric.values:
        if str(metric).endswith(".win_rate"):
            task = str(metric).rpartition(".")[0]
            told = evaluated.notes(quality.sel(metric=[metric]))
            lines = [f"{task}, {name}: {text}" for name, text in told[:ROWS]]
            print("\n".join(lines) + "\n")


def suggestions(path: Path, month: int) -> list[str]:
    """When to begin a job in each zone with an hourly series, this month."""
    grid = storage.read_group(path, "grid")
    zones = grid.zone.values if "begin_hour" in grid else []
    return [text for zone in zones if (text := suggestion(grid, str(zone), month, JOB_HOURS))]


def print_table(shown: list[columns.Column], rows: pd.DataFrame) -> None:
    """The rows in columns as wide as they need to be; a column of nothing is left out."""
    records = rows.astype(object).where(rows.notna(), None).to_dict("records")
    lines = [[column.heading for column in shown]]
    lines += [[column.show(record.get(column.key)) for column in shown] for record in records]
    kept = [n for n in range(len(shown)) if any(line[n] != "–" for line in lines[1:])]
    widths = {n: max(len(line[n]) for line in lines) for n in kept}
    for line in lines:
        print("  ".join(line[n].ljust(widths[n]) for n in kept).rstrip())


if __name__ == "__main__":
    if len(sys.argv) != 2 or not Path(sys.argv[1], "ranking.csv").is_file():
        sys.exit("usage: show_answer.py results/studies/STUDY (a study that has a ranking.csv)")
    main(Path(sys.argv[1]))
