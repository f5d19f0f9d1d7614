"""What the merge reads in the records of jobs: their shape, checked as they are read.

A record that does not have it is damaged. What nobody reads is skipped, its spec above all.
"""

from typing import Annotated, Any

from msgspec import Meta, Struct

Count = Annotated[int, Meta(ge=1)]


class Header(Struct, kw_only=True):
    """What every record says, also one of a finding."""

    schema_version: int
    id: str
    status: str
    reason: str = ""
    accepted: dict[str, Any] | None = None


class Components(Struct):
    """J, or W, by component."""

    cpu: float
    gpu: float
    ram: float

    def listed(self) -> list[float]:
        """In the order of `variables.COMPONENTS`."""
        return [self.cpu, self.gpu, self.ram]


class Window(Struct):
    """One metered stretch of a session."""

    seconds: float
    runs: Count
    tokens_read: int
    tokens_written: Count
    energy_j: Components
    codecarbon_j: Components
    foreign_cpu: float
    neighbours_cpu: float | None
    cpu_mhz: float | None = None
    disturbed: list[str] | None = None
    counts: bool = False


class Idle(Struct):
    """Power with nothing to do."""

    power_w: Components


class IdleTimes(Struct):
    """It before loading, after it, and at the end."""

    before: Idle | None
    loaded: Idle | None
    end: Idle | None


class Loading(Struct):
    """What loading the model took."""

    seconds: float
    energy_j: Components


class Memory(Struct):
    """Peak bytes."""

    ram: float
    gpu: float | None = None


class Gpu(Struct):
    """One board of a device."""

    name: str
    memory_bytes: float
    uuid: str


class Device(Struct):
    """What a job ran on."""

    cpu: str
    gpus: list[Gpu]


class How(Struct):
    """How the energy of a component was obtained."""

    basis: str
    method: str


class Ways(Struct):
    """It by component."""

    cpu: How
    gpu: How
    ram: How


class Session(Header, kw_only=True):
    """A measured session of a cell."""

    host: str
    started: str
    device: Device
    components: Ways
    reference_s: float
    idle: IdleTimes
    loading: Loading
    windows: list[Window]
    prefill_windows: list[Window] | None = None
    warnings: list[str]
    ended_early: str | None = None
    memory_bytes: Memory
    weights_bytes: float
    kernels: dict[str, int]
    settings: dict[str, str]


class Metric(Struct):
    """Value of a metric, its standard error, and which way it is better."""

    value: float | None
    stderr: float | None
    higher_is_better: bool


class Evaluation(Header, kw_only=True):
    """The metrics of a quality task."""

    metrics: dict[str, Metric]


class Sparsity(Struct):
    """Share of zeros in the linear layers."""

    mean: float | None = None


class Cost(Struct):
    """What making weights took."""

    seconds: float
    energy_j: dict[str, float]


class Made(Header, kw_only=True):
    """Weights that were made, or fetched."""

    bytes: float
    parameters: Count | None = None
    sparsity: Sparsity | None = None
    cost: Cost | None = None


class Model(Made, kw_only=True):
    """A model; its parameters were counted."""

    parameters: Count
