"""What other processes say on the output of this job, kept to be read while it goes to the log."""

import os
import re
import subprocess
import tempfile
from types import TracebackType

# Colours and cursor movements, of progress bars above all
CONTROL = re.compile(r"\x1b\[[\d;]*[A-Za-z]")


class Overheard:
    """Within `with Overheard() as log`, output and errors of this process go through tee.

    Processes that are started inside keep that for as long as they live, so that `lines` also gives
    what they say after the block.
    """

    def __init__(self) -> None:
        # as long as this object lives, the processes may write
        self._copy = tempfile.NamedTemporaryFile("r")  # noqa: SIM115
        self._kept: list[tuple[int, int]] = []

    def __enter__(self) -> "Overheard":
        # its output is this process's, as it is until the next lines
        tee = subprocess.Popen(["tee", self._copy.name], stdin=subprocess.PIPE)
        assert tee.stdin is not None
        self._kept = [(number, os.dup(number)) for number in (1, 2)]
        for number, _ in self._kept:
            os.dup2(tee.stdin.fileno(), number)
        # it ends when the last process that writes to it has ended
        tee.stdin.close()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, before in self._kept:
            os.dup2(before, number)
            os.close(before)

    def lines(self) -> list[str]:
        """All lines so far, without colours."""
        with open(self._copy.name, encoding="utf-8", errors="replace") as stream:
            return CONTROL.sub("", stream.read()).splitlines()
