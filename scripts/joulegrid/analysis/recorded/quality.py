"""Records of evaluations: metrics, answers, judgments."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from joulegrid.analysis.recorded import Cost, Count, Header, Spent


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
