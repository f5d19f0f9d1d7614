"""Fetch the carbon intensity of a zone and year from an open service: fetch_intensity.py GB 2025.

Needs the internet, so it runs on the login node. Where the service is not reached, nothing is
changed.
"""

import argparse
from pathlib import Path

from joulegrid.analysis import open_data
from joulegrid.jobs import run
from joulegrid.records import ROOT

FOLDER = Path("results/intensity")


def main() -> None:
    """See the options."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("zone", help="GB, or a country of Energy-Charts, such as DE")
    parser.add_argument("year", type=int)
    parser.add_argument("--base", help="another address of the service")
    arguments = parser.parse_args()
    zone, year = arguments.zone, arguments.year
    try:
        about = open_data.fetch(zone, year, ROOT / FOLDER, arguments.base)
    except open_data.NotReachedError as error:
        there = FOLDER / f"{zone.upper()}_{year}.csv"
        kept = f"{there} of before stays" if (ROOT / there).exists() else "nothing was written"
        print(f"not reached: {error}\n{kept}; zones without a file have a yearly figure")
        return
    file = FOLDER / about["file"]
    lacking = f", {about['missing']} more are missing there" if about["missing"] else ""
    print(f"{file}: {about['values']} values{lacking}; beside it {file.with_suffix('.json').name}")
    source = f"{about['service']}, fetched {about['fetched'][:10]}"
    print("for carbon.zones of a study:")
    print(f'  {about["zone"]}: {{series: {file}, source: "{source}", basis: {about["basis"]}}}')


if __name__ == "__main__":
    run.command(main)
