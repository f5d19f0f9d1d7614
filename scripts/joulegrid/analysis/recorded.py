"""What the merge reads in the records of jobs: their shape, checked as they are read.

A record that does not have it is damaged. What nobody reads is skipped, its spec above all.
"""

from typing import Annotated, Any, Literal, NamedTuple

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
    """Power with nothing to do, and what disturbed the machine meanwhile."""

    power_w: Components
    disturbed: list[str] | None = None


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


class Spent(NamedTuple):
    """What a job took: wall time in s and energy in J, of all components."""

    seconds: float
    joules: float


class Session(Header, kw_only=True):
    """A measured session of a cell."""

    host: str
    started: str
    device: Device
    components: Ways
    reference_s: float
    reference_gpu_s: list[float] = []
    idle: IdleTimes
    loading: Loading
    windows: list[Window]
    prefill_windows: list[Window] | None = None
    warnings: list[str]
    ended_early: str | None = None
    memory_bytes: Memory
    weights_bytes: float
    kernels: dict[str, int]
    settings: dict[str, str] = {}  # records that were accepted may be older

    @property
    def spent(self) -> Spent:
        """Of the whole job: warm-up and idling count with the mean power of what was metered."""
        parts = [self.loading, *self.windows, *(self.prefill_windows or ())]
        seconds = sum([part.seconds for part in parts])
        joules = sum([sum(part.energy_j.listed()) for part in parts])
        return Spent(self.elapsed_s, joules / seconds * self.elapsed_s)


class Samples(Struct):
    """What a metric is made of, see `quality.samples`."""

    link: Literal["mean", "exp"]
    total: Annotated[list[float], Meta(min_length=1)]
    weight: list[float] | None

    def __post_init__(self) -> None:
        """One weight per sample."""
        if self.weight is not None and len(self.weight) != len(self.total):
            raise ValueError("as many weights as samples")


class Metric(Struct):
    """Value of a metric, its standard error, which way it is better, and its samples."""

    value: float | None
    stderr: float | None
    higher_is_better: bool
    samples: Samples | None = None


class Cost(Struct):
    """What a piece of work took."""

    seconds: float
    energy_j: dict[str, float]

    @property
    def joules(self) -> float:
        """Of all components."""
        return sum(self.energy_j.values())


class Evaluation(Header, kw_only=True):
    """The metrics of a quality task."""

    metrics: dict[str, Metric]
    cost: Cost | None = None

    @property
    def spent(self) -> Spent:
        """Of the whole job, if it was metered."""
        return Spent(self.elapsed_s, self.cost.joules if self.cost else 0.0)


class Sparsity(Struct):
    """Share of zeros in the linear layers."""

    mean: float | None = None


class Made(Header, kw_only=True):
    """Weights that were made, or fetched."""

    bytes: float
    parameters: Count | None = None
    sparsity: Sparsity | None = None
    cost: Cost | None = None

    @property
    def spent(self) -> Spent:
        """Of the whole job; the energy of making alone."""
        return Spent(self.elapsed_s, self.cost.joules if self.cost else 0.0)


class Validation(Struct):
    """What validating after an epoch took."""

    seconds: float
    energy_j: Components


class Bases(Struct):
    """How the energy of each component was obtained, in a word."""

    cpu: Literal["measured", "estimated", "guess", "absent"]
    gpu: Literal["measured", "estimated", "guess", "absent"]
    ram: Literal["measured", "estimated", "guess", "absent"]


class Epoch(Struct, kw_only=True):
    """One epoch of a training."""

    host: str
    basis: Bases
    epoch: Count
    seconds: float
    energy_j: Components
    codecarbon_j: Components
    training_loss: float
    validation_loss: float
    validation: Validation
    tokens_per_s: float
    memory_bytes: Memory
    disturbed: list[str] | None = None
    shared_with: str | None = None


class Data(Struct):
    """What a training was told."""

    training_samples: Count
    validation_samples: Count
    tokens: Count
    answer_tokens: Count
    sample_tokens: list[float]
    counted: dict[str, int]


class Training(Made, kw_only=True):
    """A fine-tuning, epoch by epoch."""

    epochs: Annotated[list[Epoch], Meta(min_length=1)]
    lost: list[Cost]
    cost: Cost
    used: Cost
    data: Data
    device: Device
    validation_loss: float
    trainable_parameters: Count

    @property
    def spent(self) -> Spent:
        """Of the jobs that trained: their own epochs and the lost ones; shared ones are another
        job's.
        """
        return Spent(self.elapsed_s, self.used.joules)


class Trained(Made, kw_only=True):
    """Weights of their own out of a training."""

    validation_loss: float


class Model(Made, kw_only=True):
    """A model; its parameters were counted."""

    parameters: Count
