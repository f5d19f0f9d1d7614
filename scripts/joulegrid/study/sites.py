"""Site files: what a cluster calls its partitions, and how much of it each job asks for. Never part
of a spec.
"""

import re
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import Any
from zoneinfo import available_timezones

from joulegrid.errors import InputError
from joulegrid.records import ROOT
from joulegrid.study.replays import duration_s
from joulegrid.study.study import Study
from joulegrid.study.validation import check, nearest, schema_of
from joulegrid.study.yaml import read_yaml

SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
# Of a job that has a window of its own length: loading, warming up, idling
BESIDE_S = 1800


@dataclass(frozen=True)
class Site:
    """Resources of the jobs, in Snakemake's own names.

    Parameters
    ----------
    data
        the site file; None on a machine without a scheduler.
    longest_s
        how long the longest replay of the study may take; 0 where it has none.
    """

    data: dict[str, Any] | None
    longest_s: float = 0.0

    @property
    def artifacts(self) -> str:
        """The folder that large files (weights) go to: the site's scratch, or results/."""
        return self.data["artifacts"] if self.data and "artifacts" in self.data else "results"

    def stage(self, name: str) -> dict[str, Any]:
        """Resources of one stage's jobs, such as prune_weights."""
        return {**self.data["default"], **self.data["stages"].get(name, {})} if self.data else {}

    def left_out(self, part: str, name: str) -> set[str]:
        """Run time and memory that the file says nothing of, for a stage (`stages`) or a hardware
        entry (`hardware`); nothing without a file.
        """
        if not self.data:
            return set()
        return {"runtime", "mem_mb"} - {*self.data["default"], *self.data[part].get(name, {})}

    def at_once(self, label: str) -> int:
        """How many energy jobs of a hardware entry run at the same time, 1 unless the file says."""
        return int(self.data.get("at_once", {}).get(label, 1)) if self.data else 1

    def hardware(self, label: str) -> dict[str, Any]:
        """Resources of the energy jobs of one hardware entry; the time is the site's, or what the
        longest replay of the study needs: the jobs of an array all get that of the first.
        """
        if not self.data:
            return {}
        found = {**self.data["default"], **self.data["hardware"][label]}
        if self.longest_s and _seconds(found.get("runtime", 0)) < self.longest_s + BESIDE_S:
            found["runtime"] = ceil((self.longest_s + BESIDE_S) / 60)
        return found


def _seconds(runtime: int | str) -> int:
    """Of a run time: minutes, or a text such as 1d12h."""
    if isinstance(runtime, int):
        return 60 * runtime
    return sum(int(n) * SECONDS[unit] for n, unit in re.findall(r"(\d+)([smhd])", runtime))


@dataclass(frozen=True)
class Prices:
    """What an hour costs, in one currency.

    Parameters
    ----------
    gpu_hour, node_hour
        hardware label -> price of an hour of one GPU, and of a node; both count.
    stage_hour
        stage -> price of an hour of one of its jobs.
    """

    currency: str
    gpu_hour: dict[str, float]
    node_hour: dict[str, float]
    stage_hour: dict[str, float]


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
    durations = (duration_s(entry) for entry in study.data["workload"].values())
    return Site(data, max((each for each in durations if each is not None), default=0.0))


def artifacts_of(path: str | None) -> str:
    """The folder of weights that a site file names, or results/."""
    return Site(_read(path) if path else None).artifacts


def time_zone_of(path: str | None) -> str | None:
    """The time zone of the cluster that a site file names, None where none does."""
    return _read(path).get("time_zone") if path else None


def data_of(path: str | None) -> dict[str, Any] | None:
    """A whole site file; None without one."""
    return _read(path) if path else None


def prices_of(site: dict[str, Any] | None) -> Prices | None:
    """The prices that a site file gives, None where it gives none."""
    return Prices(**site["prices"]) if site and "prices" in site else None


def _check_prices(data: dict[str, Any], path: str) -> None:
    """Prices are of hardware that has resources, and of stages."""
    stages = schema_of("site")["properties"]["stages"]["properties"]
    known = {"gpu_hour": data["hardware"], "node_hour": data["hardware"], "stage_hour": stages}
    for key, labels in known.items():
        for label in data.get("prices", {}).get(key, {}):
            if label not in labels:
                raise InputError(
                    f"{path}: prices.{key}: no such entry: {label!r}; {nearest(label, labels)}"
                )


def _read(path: str) -> dict[str, Any]:
    """A site file that was checked; raises InputError as `load` does."""
    data = check("site", read_yaml(ROOT / Path(path)), path)
    _check_prices(data, path)
    for key in ("at_once", "node_cpus"):
        for label in data.get(key, {}):
            if label not in data["hardware"]:
                hint = nearest(label, data["hardware"])
                raise InputError(f"{path}: {key}: no hardware {label!r} in this file; {hint}")
    zone = data.get("time_zone")
    if zone is not None and zone not in (known := sorted(available_timezones())):
        near = nearest(zone, known)
        hint = f"; {near.split('; ')[-1]}" if "did you mean" in near else ""
        raise InputError(
            f"{path}: time_zone: got {zone!r}; expected a name such as Europe/Brussels{hint}"
        )
    return data
