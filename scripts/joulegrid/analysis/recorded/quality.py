"""Records of evaluations: metrics, answers, judgments."""

import math
from typing import Annotated, Literal

from msgspec import Meta, Struct

from joulegrid.analysis.recorded import Components, Cost, Count, Header, Spent, Ways


class Samples(Struct):
    """What a metric is made of, see `quality.samples`."""

    link: Literal["mean", "exp"]
    total: Annotated[list[float], Meta(min_length=1)]
    weight: list[float] | None

    def __post_init__(self) -> None:
        """One weight per sample."""
        if self.weight is not None and len(self.weight) != len(self.total):
            raise ValueError("as many weights as samples")


class Cut(Struct, frozen=True):
    """How many texts were longer than the longest that an encoder reads, in tokens."""

    answers: int
    references: int
    longest: int


class Metric(Struct):
    """Value of a metric, its standard error, which way it is better, and its samples; `too_long`:
    how many prompts lm-eval read the end of alone; `documents`: their digest, where lm-eval has
    them; `cut`: texts of which an encoder read the beginning alone; `reason`: why there is no
    value, where that is for a reader to know.
    """

    value: float | None
    stderr: float | None
    higher_is_better: bool
    samples: Samples | None = None
    too_long: int = 0
    documents: str = ""
    cut: Cut | None = None
    reason: str = ""


class Counts(Struct):
    """What a reader must know of the answers to the questions of a task; `not_asked`: how many of
    the `leaked` ones are in no mean.
    """

    questions: Count
    too_long: int
    leaked: int
    empty: int
    cut: int
    unguided: int = 0
    not_asked: int = 0

    @property
    def notes(self) -> str:
        """What is worth saying, in words; empty where nothing is."""
        told = {
            "longer than the context and left out": self.too_long,
            "with their reference in the prompt and left out": self.not_asked,
            "with their reference in the prompt": self.leaked - self.not_asked,
            "answered with nothing": self.empty,
            "cut at the most new tokens": self.cut,
            "without a text of the guide": self.unguided,
        }
        found = [f"{number} {what}" for what, number in told.items() if number]
        return f"of {self.questions} questions " + ", ".join(found) if found else ""


class Metered(Struct):
    """What the whole machine took for a piece of work, and how that was obtained."""

    seconds: float
    energy_j: Components
    basis: Ways

    @property
    def joules(self) -> float:
        """Of all components."""
        return sum(self.energy_j.listed())


class Answer(Struct):
    """How long the prompt of a question and its answer were, in tokens."""

    tokens_read: int = 0
    tokens_written: int = 0


class Texts(Header, kw_only=True):
    """The answers of a configuration to the questions of a quality task."""

    counts: Counts
    answers: list[Answer]
    cost: Metered | None = None

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
    """What all replies cost where there are prices, and their tokens where the endpoint counts."""

    cost_usd: float | None
    tokens_read: int | None = None
    tokens_written: int | None = None


class Judge(Struct):
    """Whether a judge computes on the machine that asked it, its replies, and how many of them came
    while the energy of that machine was metered.
    """

    local: bool
    replies: int
    metered: int


class Judgments(Header, kw_only=True):
    """The comparisons of the answers of a configuration with those of the baseline."""

    judgments: Annotated[list[Judgment], Meta(min_length=1)]
    lines: Annotated[list[int], Meta(min_length=1)]
    usage: Usage
    judge: Judge | None = None
    cost: Metered | None = None

    @property
    def spent(self) -> Spent:
        """Of the whole job; the energy of a judge that was metered, NaN where that is not known."""
        return Spent(self.elapsed_s, self.cost.joules if self.cost else math.nan)


class Evaluation(Header, kw_only=True):
    """The metrics of a quality task."""

    metrics: dict[str, Metric]
    cost: Cost | None = None
    signature: str = ""

    @property
    def spent(self) -> Spent:
        """Of the whole job, if it was metered."""
        return Spent(self.elapsed_s, self.cost.joules if self.cost else 0.0)
