"""Records of models, trainings and weights."""

from typing import Annotated, Literal

from msgspec import Meta, Raw, Struct

from joulegrid.analysis.recorded import Components, Cost, Count, Device, Header, Memory, Spent


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
    disturbed: list[str] | None = None
    wrong: list[str] | None = None


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
    wrong: list[str] | None = None
    shared_with: str | None = None


class Ended(Header, kw_only=True):
    """A finding. A training that diverged, or ran out of memory, says what it took until then, and
    has the epochs before, each an `Epoch`, those that came to no end, each a `Cost`, its `Data`,
    and the loss before the first step.
    """

    used: Cost | None = None
    # read where it is known whose they are: a record of another joulegrid may have others
    epochs: Raw = Raw(b"[]")
    lost: Raw = Raw(b"[]")
    data: Raw = Raw(b"null")
    validation_loss: Raw = Raw(b"null")

    @property
    def spent(self) -> Spent | None:
        """Of the whole job; the energy of its epochs, lost ones included. None where it is not
        known.
        """
        return self.used.of_job(self.elapsed_s) if self.used else None


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
        return self.used.of_job(self.elapsed_s)


class Trained(Made, kw_only=True):
    """Weights of their own out of a training."""

    validation_loss: float


class Model(Made, kw_only=True):
    """A model; its parameters were counted."""

    parameters: Count
