"""A job of a study: one result, with the spec that is its identity."""

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

from joulegrid.records import Spec, identity_of_parts, part_digest


class Part(NamedTuple):
    """One top-level value of a spec, with its digest."""

    value: Any
    digest: str


@dataclass(frozen=True)
class Job:
    """One result: what kind it is, the labels it stands under, the parts of its spec.

    `source` is the job whose weights it is made from, None for a model and for weights that
    somebody else made.
    """

    kind: str
    labels: tuple[str, ...]
    parts: dict[str, Part] = field(repr=False)
    source: "Job | None" = field(default=None, repr=False)

    @cached_property
    def id(self) -> str:
        """The id of the spec; equal to `records.identity(self.spec)`."""
        return identity_of_parts({name: part.digest for name, part in self.parts.items()})

    @property
    def spec(self) -> Spec:
        """The spec as a script is told it and as the record stores it."""
        return {name: part.value for name, part in self.parts.items()}

    @cached_property
    def path(self) -> str:
        """Where it lies, without suffix: below results/ its record, below the artifacts its
        weights.
        """
        return f"{self.folder}/{self.id}"

    @property
    def folder(self) -> str:
        """Where all results under these labels lie."""
        return "/".join((self.kind, *self.labels))


def part(value: Any) -> Part:
    """A top-level value of a spec, with its digest."""
    return Part(value, part_digest(value))
