"""Samples of a machine's counters over time, and the file that keeps a stream of them.

The file holds JSON lines. The first one is the equipment:

    {"format": "joulegrid samples 1", "cpus": 8, "node_cpus": 64,
     "zones": {"package-0": {"domain": "package", "range_uj": 262143328850}},
     "gpus": {"GPU-…": {"limit_w": 300.0, "has_counter": true}}}

Every other line is a sample: `t_s` on a monotonic clock, `host` (see `Host`), `zones` (µJ by zone)
and `gpus` (see `Gpu`, by UUID). What was not read is null.
"""

import gzip
import json
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from joulegrid.errors import InputError
from joulegrid.records import in_one_step

FORMAT = "joulegrid samples 1"


@dataclass(frozen=True)
class Host:
    """What the operating system has counted so far; seconds of CPU time.

    Parameters
    ----------
    busy_s
        on the CPUs of this job, whoever ran there.
    node_busy_s
        on all CPUs of the machine.
    own_s
        of this process and its children.
    steal_s
        that the hypervisor gave to others while a CPU of this job wanted to run.
    throttled_s
        that this job's cgroup was held back by its CPU limit.
    memory_stall_s
        in which all tasks of the machine waited for memory (PSI, `full`).
    throttles
        how often the CPUs were slowed down by heat.
    mhz
        mean clock of this job's CPUs.
    """

    busy_s: float
    node_busy_s: float
    own_s: float
    steal_s: float = 0.0
    throttled_s: float = 0.0
    memory_stall_s: float | None = None
    throttles: int | None = None
    mhz: float | None = None


@dataclass(frozen=True)
class Gpu:
    """What NVML says of one board.

    Parameters
    ----------
    energy_mj
        its total energy counter, since the driver was loaded.
    power_w
        instant power where the board tells it, else its plain reading; see `Board`.
    reasons
        bits of `nvmlDeviceGetCurrentClocksEventReasons`; None where the board does not tell them.
    others
        number of processes that are none of this job's.
    busy
        share of the last moments (1/6 to 1 s) in which the board computed; read of boards that
        count no energy.
    """

    energy_mj: int | None
    power_w: float | None
    temperature_c: float | None = None
    sm_clock_mhz: int | None = None
    reasons: int | None = 0
    others: int = 0
    busy: float | None = None


@dataclass(frozen=True)
class Sample:
    """All counters at one time."""

    t_s: float
    host: Host
    zones: dict[str, int] = field(default_factory=dict)
    gpus: dict[str, Gpu] = field(default_factory=dict)


@dataclass(frozen=True)
class Zone:
    """A RAPL zone that is added: its domain (package, dram), and where its counter starts again, in
    µJ.
    """

    domain: str
    range_uj: int


@dataclass(frozen=True)
class Board:
    """A GPU that is sampled: its power limit in W, whether it counts energy itself, and whether the
    power that it tells is instant; else it is what `nvmlDeviceGetPowerUsage` says.
    """

    limit_w: float | None
    has_counter: bool
    is_instant: bool = True


@dataclass(frozen=True)
class Equipment:
    """What is sampled. `cpus` of the `node_cpus` of the machine belong to this job."""

    cpus: int
    node_cpus: int
    zones: dict[str, Zone] = field(default_factory=dict)
    gpus: dict[str, Board] = field(default_factory=dict)


def write(path: Path, equipment: Equipment, samples: Sequence[Sample]) -> None:
    """Write a stream in one step, compressed where the name ends in .gz."""
    lines = [{"format": FORMAT, **asdict(equipment)}, *map(asdict, samples)]
    with in_one_step(path) as temporary, _open(temporary, "wt") as stream:
        stream.writelines(f"{json.dumps(line, separators=(',', ':'))}\n" for line in lines)


def read(path: Path) -> tuple[Equipment, list[Sample]]:
    """Read a stream.

    Raises
    ------
    InputError
        naming the file and the line that is no sample; the end may be cut off, of a compressed
        file too.
    """
    rows = list(_parsed(path, _lines(path)))
    if not rows or rows[0].pop("format", None) != FORMAT:
        raise InputError(f"{path}: not a stream of samples; expected {FORMAT!r} in its first line")
    try:
        head, *rest = rows
        head["zones"] = {name: Zone(**zone) for name, zone in head["zones"].items()}
        head["gpus"] = {uuid: Board(**board) for uuid, board in head["gpus"].items()}
        return Equipment(**head), [_sample(row) for row in rest]
    except (KeyError, TypeError) as error:
        raise InputError(f"{path}: a sample lacks or has too many keys: {error}") from None


def _open(path: Path, mode: str) -> Any:
    opener: Any = gzip.open if path.suffix == ".gz" else open
    return opener(path, mode, encoding="utf-8")


def _lines(path: Path) -> list[str]:
    """The lines of a file, of one that is cut off those that can still be read."""
    lines = []
    try:
        with _open(path, "rt") as stream:
            lines.extend(stream)  # line by line: what was read before the cut stays
    except EOFError:
        pass
    except (gzip.BadGzipFile, zlib.error) as error:
        raise InputError(f"{path}: not a stream of samples: {error}") from None
    return lines


def _parsed(path: Path, lines: list[str]) -> Iterable[dict[str, Any]]:
    for number, line in enumerate(lines, 1):
        try:
            yield json.loads(line)
        except ValueError:
            if number < len(lines):  # the last line of a killed job may be half a line
                raise InputError(f"{path}:{number}: not a line of JSON") from None


def _sample(row: dict[str, Any]) -> Sample:
    gpus = {uuid: Gpu(**gpu) for uuid, gpu in row["gpus"].items()}
    return Sample(row["t_s"], Host(**row["host"]), row["zones"], gpus)
