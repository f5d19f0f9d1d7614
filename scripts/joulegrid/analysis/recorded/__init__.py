"""What the merge reads in the records of jobs: their shape, checked as they are read.

A record that does not have it is damaged. What nobody reads is skipped, its spec above all.
"""

import math
from typing import Annotated, Any, NamedTuple

from msgspec import Meta, Struct

Count = Annotated[int, Meta(ge=1)]


class Header(Struct, kw_only=True):
    """What every record says, also one of a finding."""

    schema_version: int
    id: str
    status: str
    elapsed_s: float = 0.0
    reason: str = ""
    accepted: dict[str, Any] | None = None


class Components(Struct):
    """J, or W, by component; NaN what was not metered."""

    cpu: float = math.nan
    gpu: float = math.nan
    ram: float = math.nan

    def listed(self) -> list[float]:
        """In the order of `variables.COMPONENTS`."""
        return [self.cpu, self.gpu, self.ram]


class How(Struct, frozen=True):
    """How the energy of a component was obtained."""

    basis: str
    method: str


class Ways(Struct, frozen=True):
    """It by component."""

    cpu: How
    gpu: How
    ram: How


class Gpu(Struct):
    """One board of a device."""

    name: str
    memory_bytes: float
    uuid: str


class Device(Struct):
    """What a job ran on."""

    cpu: str
    gpus: list[Gpu]


class Memory(Struct):
    """Peak bytes."""

    ram: float
    gpu: float | None = None


class Spent(NamedTuple):
    """What a job took: wall time in s and energy in J, of all components."""

    seconds: float
    joules: float


class Cost(Struct):
    """What a piece of work took."""

    seconds: float
    energy_j: dict[str, float]
    disturbed: list[str] | None = None
    wrong: list[str] | None = None
    # of an epoch without an end: the finding that ended it, None where it was interrupted
    ended: str | None = None

    @property
    def joules(self) -> float:
        """Of all components; NaN where the meter was read wrongly."""
        return math.nan if self.wrong else sum(self.energy_j.values())

    def of_job(self, elapsed_s: float) -> Spent:
        """It for a job of several processes, the last of which took `elapsed_s` or more: not less
        time than the work that is counted.
        """
        return Spent(max(elapsed_s, self.seconds), self.joules)
