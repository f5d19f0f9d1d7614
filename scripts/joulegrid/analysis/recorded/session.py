"""Records of sessions: windows, points of sweeps, replays."""

from functools import lru_cache
from typing import Literal, TypeVar

from msgspec import Raw, Struct, field
from msgspec.json import decode

from joulegrid.analysis.recorded import Components, Count, Device, Header, Memory, Spent, Ways


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
    # records that were accepted may be older
    requests: int | None = None
    padding: int | None = None


class Point(Struct):
    """What a session measured of a sweep, or the finding that there is in its place."""

    prompt_tokens: int | None
    new_tokens: int | None
    lengths: Raw
    at_once: int | None = None
    status: Literal["ok", "oom", "unsupported", "missing"] = "ok"
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
    # records that were accepted may be older
    in_progress: int | None = None


class Session(Header, kw_only=True):
    """A measured session of a cell."""

    host: str
    started: str
    raw_device: Raw = field(name="device")
    raw_components: Raw = field(name="components")
    reference_s: float
    reference_gpu_s: list[float] = field(default_factory=list)
    idle: IdleTimes
    loading: Loading
    windows: list[Window]
    points: list[Point] = field(default_factory=list)
    prefill_windows: list[Window] | None = None
    replay: Replay | None = None
    warnings: list[str]
    ended_early: str | None = None
    memory_bytes: Memory
    weights_bytes: float
    raw_kernels: Raw = field(name="kernels")
    # records that were accepted may be older
    raw_settings: Raw = field(name="settings", default_factory=lambda: Raw(b"{}"))

    @property
    def device(self) -> Device:
        """What the session ran on."""
        return _decoded(bytes(self.raw_device), Device)

    @property
    def components(self) -> Ways:
        """How the energy of each component was obtained."""
        return _decoded(bytes(self.raw_components), Ways)

    @property
    def kernel(self) -> str:
        """What the linear layers computed with, and how many of them: the most first."""
        return _kernel(bytes(self.raw_kernels))

    @property
    def settings(self) -> str:
        """How else the engine computed."""
        return _settings(bytes(self.raw_settings))

    @property
    def spent(self) -> Spent:
        """Of the whole job: warm-up and idling count with the mean power of what was metered."""
        seconds = joules = 0.0
        for part in (self.loading, *self.windows, *(self.prefill_windows or ())):
            energy = part.energy_j
            seconds += part.seconds
            joules += energy.cpu + energy.gpu + energy.ram
        return Spent(self.elapsed_s, joules / seconds * self.elapsed_s)


# Most sessions of a machine say the same of it: that is decoded once, not ten thousand times
Shape = TypeVar("Shape", Device, Ways)


@lru_cache
def _decoded(content: bytes, shape: type[Shape]) -> Shape:
    return decode(content, type=shape)


@lru_cache
def _kernel(content: bytes) -> str:
    counted = decode(content, type=dict[str, int]).items()
    return ", ".join(
        f"{name} ×{n}" for name, n in sorted(counted, key=lambda one: (-one[1], one[0]))
    )


@lru_cache
def _settings(content: bytes) -> str:
    return ", ".join(
        f"{key} {value}" for key, value in decode(content, type=dict[str, str]).items()
    )
