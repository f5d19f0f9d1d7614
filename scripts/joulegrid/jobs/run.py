"""What every entry script does: read --spec and its paths, fail with one message."""

import argparse
import errno
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from joulegrid.errors import InputError, Terminated
from joulegrid.records import Spec, identity, provenance, write_json

BEGAN = time.monotonic()
# What a file system without space for a result says
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
# The cheap end of a study, in order; only some studies select
STEPS = ("select", "merge", "analyse", "draw", "report")


def run(
    main: Callable[[argparse.Namespace, Spec], None], *options: str, optional: tuple[str, ...] = ()
) -> None:
    """Parse the command line and call `main(arguments, spec)`; an InputError ends it with its
    message alone.

    Parameters
    ----------
    options
        names of the options, besides --spec, that must be given.
    optional
        names of those that may be.
    """
    parser = argparse.ArgumentParser(description=sys.modules["__main__"].__doc__)
    parser.add_argument("--spec", required=True, type=json.loads, help="what determines the result")
    for name in options:
        parser.add_argument(f"--{name}", required=True)
    for name in optional:
        parser.add_argument(f"--{name}")
    arguments = parser.parse_args()
    _say_when_ended()
    try:
        command(lambda: main(arguments, arguments.spec))
    except OSError as error:
        if error.errno not in FULL:
            raise
        what = error.filename or "the result cannot be written"
        sys.exit(
            f"error: {error.strerror}: {what}; nothing of this job is kept, finished results are: "
            "free space and run snakemake again"
        )
    finally:
        shelter()


def _say_when_ended() -> None:
    """Let SIGTERM end this process with a message, where nothing else is made of it."""
    own = os.getpid()

    def stop(number: int, _: object) -> None:
        name = signal.Signals(number).name
        if os.getpid() != own:  # a forked child has nothing to say
            os._exit(128 + number)
        shelter()
        sys.exit(f"error: ended by {name}: nothing of this job is kept; run snakemake again")

    signal.signal(signal.SIGTERM, stop)


def command(main: Callable[[], None]) -> None:
    """Call `main()`; an InputError ends it with its message alone."""
    try:
        main()
    except InputError as error:
        sys.exit(f"error: {error}")


def conclude(
    main: Callable[[argparse.Namespace, Spec], None], *options: str, optional: tuple[str, ...] = ()
) -> None:
    """Run a step of the cheap end of a study; `--stamp` then says that its outputs are those of its
    spec.

    The stamps of this step and of those behind it are taken away first: what they stand for is
    about to be replaced.
    """

    def stamped(arguments: argparse.Namespace, spec: Spec) -> None:
        stamp = Path(arguments.stamp) if arguments.stamp else None
        if stamp is not None:
            for step in STEPS[STEPS.index(spec["step"]) :]:
                for old in stamp.parent.glob(f"{step}-*.json"):
                    old.unlink(missing_ok=True)
        main(arguments, spec)
        if stamp is not None:
            write_json(stamp, {**provenance(), "spec": spec})

    run(stamped, *options, optional=(*optional, "stamp"))


def write_record(
    path: str, spec: Spec, made: dict[str, Any], facts: dict[str, Any], before_s: float = 0.0
) -> None:
    """Write the record of a job to `path`, which must be named after the id of `spec`.

    Parameters
    ----------
    made
        provenance, taken before the work began.
    before_s
        what processes of this job took that were killed before, as far as it is known.
    """
    own = identity(spec)
    if Path(path).stem != own:
        raise InputError(f"{path}: the spec that was given has the id {own}; run snakemake again")
    elapsed = round(before_s + time.monotonic() - BEGAN, 3)
    write_json(path, {**made, "id": own, "spec": spec, "elapsed_s": elapsed, **facts})


def begin(*packages: str) -> dict[str, Any]:
    """The provenance of this job, to be taken before its work begins."""
    return provenance(packages)


@contextmanager
def terminable() -> Iterator[None]:
    """Within the block SIGTERM raises Terminated, so that what is measured already is kept.

    Once: who cancels a job often signals several times, and what is kept must be worked out.
    """

    def stop(number: int, _: object) -> None:
        signal.signal(number, signal.SIG_IGN)
        raise Terminated(f"ended by {signal.Signals(number).name}")

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def deferred() -> Iterator[None]:
    """Within the block SIGTERM waits for its end: what was measured is worked out first. Where the
    block ends in an error, that one counts.
    """
    came: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _: came.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
    if came:
        signal.raise_signal(signal.SIGTERM)


def shelter() -> None:
    """From here on SIGTERM ends nothing but what is `terminable`: a record is to be written. While
    the interpreter ends any handler would be the default again, and a job that did all its work
    would be one that was killed.
    """
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


def say(text: str) -> None:
    """A line of progress for the job's log."""
    print(text, flush=True)
