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
        seconds = joules = 0.0
        for part in (self.loading, *self.windows, *(self.prefill_windows or ())):
            energy = part.energy_j
            seconds += part.seconds
            joules += energy.cpu + energy.gpu + energy.ram
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


class Counts(Struct):
    """What a reader must know of the answers to the questions of a task."""

    questions: Count
    too_long: int
    leaked: int
    empty: int
    cut: int

    @property
    def notes(self) -> str:
        """What is worth saying, in words; empty where nothing is."""
        told = {
            "longer than the context and left out": self.too_long,
            "with a reference in the prompt": self.leaked,
            "answered with nothing": self.empty,
            "cut at the most new tokens": self.cut,
        }
        found = [f"{number} {what}" for what, number in told.items() if number]
        return f"of {self.questions} questions " + ", ".join(found) if found else ""


class Texts(Header, kw_only=True):
    """The answers of a configuration to the questions of a quality task."""

    counts: Counts
    cost: Cost | None = None

    @property
    def spent(self) -> Spent:
        """Of the whole job, if it was metered."""
        return Spent(self.elapsed_s, self.cost.joules if self.cost else 0.0)


class Reply(Struct):
    """What a judge said, and why it ended, see `judging.replies`."""

    text: str
    finish: str


class Judgment(Struct):
    """Two answers to the question of a line, and what a judge said of them: with the baseline's
    first, and with it second.
    """

    line: int
    own: str
    baseline: str
    replies: tuple[Reply, Reply]


class Usage(Struct):
    """What all replies cost; None where there are no prices."""

    cost_usd: float | None


class Judgments(Header, kw_only=True):
    """The comparisons of the answers of a configuration with those of the baseline."""

    judgments: Annotated[list[Judgment], Meta(min_length=1)]
    lines: Annotated[list[int], Meta(min_length=1)]
    usage: Usage

    @property
    def spent(self) -> Spent:
        """The wall time; the energy is the judge's, wherever it runs, and not known."""
        return Spent(self.elapsed_s, 0.0)


class Evaluation(Header, kw_only=True):
    """The metrics of a quality task."""

    metrics: dict[str, Metric]
    cost: Cost | None = None
    signature: str = ""

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


class Model(Made, kw_only=True):
    """A model; its parameters were counted."""

    parameters: Count
