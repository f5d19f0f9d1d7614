"""A run that shall be done by a deadline: what its user gives, what sbatch is told, and what is
said of it before.
"""

import math
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import xarray as xr

from joulegrid.analysis.intensity import read_series
from joulegrid.errors import InputError
from joulegrid.planning import readiness
from joulegrid.planning.cells import Judged
from joulegrid.planning.deadline import (
    STEP_S,
    STEPS_PER_HOUR,
    Round,
    Shift,
    hours_of,
    rounds,
    shifted,
)
from joulegrid.planning.making import Effort
from joulegrid.planning.outlook import outlook
from joulegrid.planning.ranges import NOTHING, Range
from joulegrid.records import ROOT
from joulegrid.study.sites import Site
from joulegrid.study.study import Study
from joulegrid.study.validation import nearest

MINUTE = "%Y-%m-%dT%H:%M"


class Submission(NamedTuple):
    """What becomes of a run with a deadline.

    Parameters
    ----------
    deadline
        with a time zone.
    begins
        hardware entry, session -> when its jobs begin at the earliest, with a time zone; those that
        are not named begin as soon as they can.
    rounds, shift
        see `deadline`.
    unknown
        hardware entries that begin at once, because not all of their sessions are predicted.
    rests_on
        what is known of the hours to come.
    """

    deadline: datetime
    begins: dict[tuple[str, int], datetime]
    rounds: list[Round]
    shift: Shift
    unknown: list[str]
    rests_on: str


def planned(
    study: Study,
    site: Site,
    cells: Sequence[Judged],
    to_run: Sequence[str],
    made: Mapping[str, Effort],
    deadline: str,
    now: datetime,
) -> Submission:
    """When the sessions that a run would make begin.

    Parameters
    ----------
    made
        kind of job -> what its jobs take that a run would make.
    deadline
        ISO 8601; without a time zone on the cluster's clock, or on this machine's where the site
        file does not name one.
    now
        with its time zone.

    Raises
    ------
    InputError
        where the deadline is no time, is over or too early, or nothing is known of the hours to
        come.
    """
    source, data = str(study.data.get("site")), site.data
    if data is None:
        raise InputError(
            "deadline: a cluster begins jobs later, this machine does not; add "
            "site=config/sites/YOURS.yaml to --config, which replaces the profile's"
        )
    by = _time(deadline, data.get("time_zone"), now)
    pue = {label: entry["pue"] for label, entry in study.data["hardware"].items()}
    ready = readiness.of_cells(study.data, to_run, made)
    found, unknown = rounds(cells, to_run, site.at_once, pue, ready)
    if not found:
        return Submission(by, {}, [], Shift({}, 0.0, NOTHING, NOTHING), unknown, "nothing")
    _check_options(site, found, source)
    start = datetime.fromtimestamp(now.timestamp() // STEP_S * STEP_S, tz=now.tzinfo)
    steps = int((by - start).total_seconds() // STEP_S)
    for hardware, hours in hours_of(found).items():
        if hours * STEPS_PER_HOUR > steps:
            raise InputError(
                f"deadline: {_text(by)} is in {steps / STEPS_PER_HOUR:g} h; the sessions of "
                f"{hardware}{_made(found, hardware)} take less than {hours:g} h nine times of ten; "
                f"expected a later deadline, or at_once of {hardware} in {source}, where the "
                "cluster runs several of them at the same time"
            )
    skipped = int(start.timestamp() % 3600) // STEP_S
    series, name = series_of_site(study, data, source)
    hours = math.ceil((skipped + steps) / STEPS_PER_HOUR)
    known = outlook(series, start, hours, name)
    shift = shifted(found, known, skipped, steps)
    begins = {key: start + timedelta(hours=later) for key, later in shift.begins.items()}
    return Submission(by, begins, found, shift, unknown, known.rests_on)


def options(said: Submission) -> dict[tuple[str, int], str]:
    """Hardware entry, session -> the option of sbatch, whose times are on this machine's clock."""
    return {
        key: f"--begin={when.astimezone():%Y-%m-%dT%H:%M:%S}" for key, when in said.begins.items()
    }


def _time(text: str, time_zone: str | None, now: datetime) -> datetime:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise InputError(
            f"deadline: got {text!r}; expected a time such as 2026-11-25T08:00, on the cluster's "
            "clock, or with an offset from UTC behind it"
        ) from None
    if found.tzinfo is None:
        found = found.replace(tzinfo=ZoneInfo(time_zone)) if time_zone else found.astimezone()
    if found <= now:
        raise InputError(
            f"deadline: {_text(found)} is over, it is {_text(now.astimezone(found.tzinfo))}; "
            "expected a time to come"
        )
    return found


def _made(found: Sequence[Round], hardware: str) -> str:
    """What else stands before the end of its rounds."""
    most = max(each.most_ready_hours for each in found if each.hardware == hardware)
    return f" and making their weights ({most:.3g} h)" if most else ""


def _check_options(site: Site, found: Sequence[Round], source: str) -> None:
    for hardware in hours_of(found):
        if "--begin" in site.hardware(hardware).get("slurm_extra", ""):
            raise InputError(
                f"{source}: slurm_extra of {hardware} says --begin, and a deadline does; drop one"
            )


def series_of_site(study: Study, data: Mapping[str, Any], source: str) -> tuple[xr.DataArray, str]:
    """The intensity that the site file names, or that of the study in the zone of the site."""
    if "forecast" in data:
        name = str(data["forecast"])
        if not (ROOT / name).is_file():
            raise InputError(f"{source}: forecast: no such file {name}")
        return read_series(ROOT / name), name
    zone, zones = data.get("zone"), study.zones
    if zone is None:
        raise InputError(
            f"{source}: a deadline needs the carbon intensity of the hours to come; expected "
            "forecast: a file with a value for each hour, or zone: one of the study's carbon.zones "
            "with a series"
        )
    if zone not in zones:
        raise InputError(
            f"{source}: zone: {study.source} has no carbon.zones.{zone}; {nearest(zone, zones)}"
        )
    if "series" not in zones[zone]:
        raise InputError(
            f"{study.source}: carbon.zones.{zone}: a deadline needs a series here, or a "
            f"forecast in {source}"
        )
    name = str(zones[zone]["series"]["path"])
    return read_series(ROOT / name, zones[zone].get("basis")), name


# ---------------------------------------------------------------- in words
def lines(said: Submission) -> list[str]:
    """For people: when what begins, what that saves, and how sure that is."""
    found = [f"by {_text(said.deadline)}, after {said.rests_on}:"]
    if not said.rounds:
        found = [f"by {_text(said.deadline)}: no session that is predicted has to be run"]
    for each in said.rounds:
        when = said.begins.get((each.hardware, each.session))
        found.append(
            f"    {each.hardware}, session {each.session}: {each.jobs} jobs, {each.hours:.3g} h, "
            f"{each.kwh:.3g} kWh, begin "
            f"{_text(when.astimezone(said.deadline.tzinfo)) if when else 'as soon as they can'}"
            + (f", weights made in {each.ready_hours:.3g} h" if each.ready_hours else "")
        )
    if said.rounds:
        shift = said.shift
        found.append(
            f"    saves {_percent(shift.saved)} of {shift.grams:.3g} g CO2e; with perfect "
            f"foresight, a bound: {_percent(shift.bound)}"
        )
    if said.unknown:
        found.append(f"    not predicted, and begun as soon as they can: {', '.join(said.unknown)}")
    return found


def rows(said: Submission) -> list[dict[str, Any]]:
    """A row per round, as `begins.tsv` has it."""
    return [
        {
            **each._asdict(),
            "begin": when.isoformat() if when else "",
            "deadline": said.deadline.isoformat(),
        }
        for each in said.rounds
        for when in [said.begins.get((each.hardware, each.session))]
    ]


def _percent(share: Range) -> str:
    return f"{100 * share.median:.1f} % ({100 * share.low:.1f} to {100 * share.high:.1f})"


def _text(time: datetime) -> str:
    return f"{time:{MINUTE}}"
