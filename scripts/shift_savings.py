"""Say what starting a job at a better hour saves, by a CSV file of carbon intensity:
shift_savings.py FILE.

The file is one of Electricity Maps, hourly, or has two columns: time (UTC) and g/kWh. Each saving
is the mean over all hours at which the job could be submitted: with perfect foresight, which is a
bound, and with the start that was best a day before.
"""

import argparse
from pathlib import Path

from joulegrid.analysis import carbon, intensity
from joulegrid.errors import InputError
from joulegrid.jobs import run
from joulegrid.study.zones import DIRECT, LIFE_CYCLE


def main() -> None:
    """See the options."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("file", type=Path)
    parser.add_argument("--basis", choices=[LIFE_CYCLE, DIRECT], help="which of its columns")
    arguments = parser.parse_args()
    if not arguments.file.is_file():
        raise InputError(f"{arguments.file}: no such file")
    series = intensity.read_series(arguments.file, arguments.basis)
    if not intensity.is_hourly(series):
        raise InputError(f"{arguments.file}: expected a value for each hour, or more")
    first, last = (str(series.time.values[n].astype("M8[h]")) for n in (0, -1))
    about = f"{series.attrs['zone']} {series.attrs['basis']}".strip()
    print(f"{arguments.file}: {about}, {first} to {last}, mean {float(series.mean()):.1f} g/kWh\n")
    print("job, h  slack, h  with perfect foresight  as it was best a day before")
    starts = carbon.starts(series)
    saved = 100 * (1 - starts / starts.sel(start="now"))
    for hours in saved.job_hours.values:
        for slack in saved.slack_hours.values:
            one = saved.sel(job_hours=hours, slack_hours=slack)
            bound, known = (
                _percent(float(one.sel(start=name))) for name in ("foresight", "yesterday")
            )
            print(f"{hours:6}  {slack:8}  {bound:>22}  {known:>27}")


def _percent(value: float) -> str:
    return f"{value:.1f} %" if value == value else "–"


if __name__ == "__main__":
    run.command(main)
