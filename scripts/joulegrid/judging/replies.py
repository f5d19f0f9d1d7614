"""Replies of a judge, kept in a file as they come: what was paid for is never asked again."""

import fcntl
import json
import os
import threading
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType

from joulegrid.errors import InputError
from joulegrid.texts.templates import HALF

# Why a reply ended: by itself, at the most tokens, by a filter; or the endpoint refused the request
STOP, LENGTH, FILTER, REFUSED = "stop", "length", "content_filter", "refused"


@dataclass(frozen=True)
class Reply:
    """What a judge said.

    Parameters
    ----------
    finish
        why it ended, as the endpoint says it: `STOP`, `LENGTH`, `FILTER` or another; `REFUSED`
        where there is no reply, and `text` is the reason.
    tokens_read, tokens_written
        as the endpoint counts them; None where it does not.
    model
        the model that the endpoint says it was.

    Raises
    ------
    ValueError
        where one of them is of another type: an endpoint may send anything.
    """

    text: str
    finish: str
    tokens_read: int | None = None
    tokens_written: int | None = None
    model: str | None = None

    def __post_init__(self) -> None:
        """Refuse other types, and put a sign in the place of half a character."""
        for name, kinds in KINDS.items():
            value = getattr(self, name)
            if type(value) not in kinds:
                raise ValueError(f"{name}: {value!r}")
            if isinstance(value, str):
                object.__setattr__(self, name, HALF.sub("\ufffd", value))


KINDS: dict[str, tuple[type, ...]] = {
    "text": (str,),
    "finish": (str,),
    "tokens_read": (int, type(None)),
    "tokens_written": (int, type(None)),
    "model": (str, type(None)),
}


class Kept:
    """The file of replies of one job, open for this process alone.

    Raises
    ------
    InputError
        where another process has it open, or a line of it is no reply.
    """

    def __init__(self, path: Path):
        self.path, self._lock = path, threading.Lock()
        path.parent.mkdir(parents=True, exist_ok=True)
        self._stream = open(path, "a+b")  # noqa: SIM115 - closed by __exit__
        try:
            fcntl.flock(self._stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self.found = self._read()
        except BlockingIOError:
            self._stream.close()
            raise InputError(
                f"{path}: another process is asking this judge the same; wait for it, or end it"
            ) from None
        except InputError:
            self._stream.close()
            raise

    def _read(self) -> dict[str, Reply]:
        """What is there; the half line of a process that was killed is taken away."""
        self._stream.seek(0)
        content = self._stream.read()
        whole = content.rfind(b"\n") + 1
        self._stream.truncate(whole)
        found = {}
        for number, line in enumerate(content[:whole].splitlines(), start=1):
            try:
                row = json.loads(line)
                request = row.pop("request")
                found[request] = Reply(**row)
            except (ValueError, KeyError, TypeError, AttributeError):
                raise InputError(
                    f"{self.path}:{number}: not a reply of a judge; take the line away, and its "
                    "request is asked again"
                ) from None
        return found

    def count(self, requests: Iterable[str]) -> int:
        """How many of these requests have a reply; the file holds those to other templates too."""
        with self._lock:
            return sum(name in self.found for name in requests)

    def keep(self, request: str, reply: Reply) -> None:
        """Write a reply down before anything else is done with it."""
        line = json.dumps({"request": request, **asdict(reply)}).encode() + b"\n"
        with self._lock:
            self._stream.write(line)
            self._stream.flush()
            os.fsync(self._stream.fileno())
            self.found[request] = reply

    def __enter__(self) -> "Kept":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stream.close()
