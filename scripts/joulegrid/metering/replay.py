"""Recorded samples in the place of a machine: the same code reads them."""

from collections.abc import Sequence
from pathlib import Path

from joulegrid.errors import InputError
from joulegrid.metering import samples
from joulegrid.metering.samples import Equipment, Sample


class Recording:
    """Gives the samples of a stream one after the other, however fast it is asked.

    A stretch of the stream is read by `samples[i:j]`; `read` raises InputError at its end.
    """

    def __init__(self, equipment: Equipment, stream: Sequence[Sample]):
        self.equipment, self.samples, self._next = equipment, list(stream), 0

    @classmethod
    def of(cls, path: Path) -> "Recording":
        """The recording in a file; see `samples.read`."""
        return cls(*samples.read(path))

    def read(self, quick: bool = False) -> Sample:
        """The next sample."""
        if self._next >= len(self.samples):
            raise InputError("the recording has ended")
        self._next += 1
        return self.samples[self._next - 1]
