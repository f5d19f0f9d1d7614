"""What the merge reads in the records of jobs: their shape, checked as they are read.

A record that does not have it is damaged. What nobody reads is skipped, its spec above all.
"""

from typing import Annotated, Any, Literal, NamedTuple

from msgspec import Meta, Raw, Struct

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
    codecarbon_j: Components | None
    foreign_cpu: float
    neighbours_cpu: float | None
    cpu_mhz: float | None = None
    disturbed: list[str] | None = None
    counts: bool = False
    point: int = 0
    requests: int | None = None  # records that were accepted may be older


class Point(Struct):
    """What a session measured of a sweep, or the finding that there is in its place."""

    prompt_tokens: int | None
    new_tokens: int | None
    lengths: Raw
    at_once: int | None = None
    status: Literal["ok", "oom", "unsupported"] = "ok"
    reason: str = ""


class Lengths(Struct):
    """Of each request of one run of a point."""

    tokens_read: list[int]
    tokens_written: list[int]


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


class Percentiles(Struct):
    """Of a latency in s; None where one falls among requests that were not finished."""

    p50: float | None
    p95: float | None
    p99: float | None

    def listed(self) -> list[float | None]:
        """In the order of `replays.PERCENTILES`."""
        return [self.p50, self.p95, self.p99]


class Bin(Struct):
    """A stretch of time of a replay."""

    start_s: float
    seconds: float
    energy_j: Components
    disturbed: list[str] | None = None


class Replay(Struct):
    """How the requests of a replay fared, see `metering.latency`."""

    arrived: Count
    finished: int
    offered_per_s: float
    served_per_s: float
    tokens_per_s: float
    total_s: Percentiles
    first_token_s: Percentiles
    per_token_s: Percentiles
    queueing_s: Percentiles
    backlog: int
    waiting: int | None
    most_waiting: int | None
    drain_s: float
    utilisation: float
    energy_per_request_j: float
    drain_energy_j: Components
    disturbed_share: float
    bins: list[Bin]


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
    points: list[Point] = []
    prefill_windows: list[Window] | None = None
    replay: Replay | None = None
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


class Validation(Struct):
    """What validating after an epoch took."""

    seconds: float
    energy_j: Components


class Epoch(Struct, kw_only=True):
    """One epoch of a training."""

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
    components: Ways
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
