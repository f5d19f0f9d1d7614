"""Site files: what a cluster calls its partitions, and how much of it each job asks for. Never part
of a spec.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zoneinfo import available_timezones

from joulegrid.errors import InputError
from joulegrid.records import ROOT
from joulegrid.study.study import Study
from joulegrid.study.validation import check, nearest
from joulegrid.study.yaml import read_yaml


@dataclass(frozen=True)
class Site:
    """Resources of the jobs, in Snakemake's own names. `data` is None on a machine without a
    scheduler.
    """

    data: dict[str, Any] | None

    @property
    def artifacts(self) -> str:
        """The folder that large files (weights) go to: the site's scratch, or results/."""
        return self.data["artifacts"] if self.data and "artifacts" in self.data else "results"

    def stage(self, name: str) -> dict[str, Any]:
        """Resources of one stage's jobs , such as prune_weights."""
        return {**self.data["default"], **self.data["stages"].get(name, {})} if self.data else {}

    def hardware(self, label: str) -> dict[str, Any]:
        """Resources of the energy jobs of one hardware entry."""
        return {**self.data["default"], **self.data["hardware"][label]} if self.data else {}


def load(path: str | None, study: Study) -> Site:
    """Read a site file and check that it knows every hardware of the study.

    Raises InputError where the file is wrong, or a hardware entry has no resources there.
    """
    if path is None:
        return Site(None)
    data = _read(path)
    for label in study.labels("hardware"):
        if label not in data["hardware"]:
            raise InputError(
                f"{path}: hardware: no resources for {label!r}, which {study.source} measures on; "
                f"{nearest(label, data['hardware'])}"
            )
    return Site(data)


def artifacts_of(path: str | None) -> str:
    """The folder of weights that a site file names, or results/."""
    return Site(_read(path) if path else None).artifacts


def time_zone_of(path: str | None) -> str | None:
    """The time zone of the cluster that a site file names, None where none does."""
    return _read(path).get("time_zone") if path else None


def _read(path: str) -> dict[str, Any]:
    """A site file that was checked; raises InputError as `load` does."""
    data = check("site", read_yaml(ROOT / Path(path)), path)
    zone = data.get("time_zone")
    if zone is not None and zone not in (known := sorted(available_timezones())):
        near = nearest(zone, known)
        hint = f"; {near.split('; ')[-1]}" if "did you mean" in near else ""
        raise InputError(
            f"{path}: time_zone: got {zone!r}; expected a name such as Europe/Brussels{hint}"
        )
    return data
