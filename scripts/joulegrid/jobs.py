"""What every entry script does: read --spec and its paths, fail with one message."""

import argparse
import json
import sys
from collections.abc import Callable
from typing import Any

from joulegrid.records import InputError


def run(
    main: Callable[[argparse.Namespace, dict[str, Any]], None], *options: str, optional: tuple[str, ...] = ()
) -> None:
    """Parse the command line and call `main(arguments, spec)`; an InputError ends the script with its message alone.

    Parameters
    ----------
    options
        names of the options, besides --spec, that must be given.
    optional
        names of those that may be.
    """
    parser = argparse.ArgumentParser(description=sys.modules["__main__"].__doc__)
    parser.add_argument("--spec", required=True, type=json.loads, help="what determines the result, as JSON")
    for name in options:
        parser.add_argument(f"--{name}", required=True)
    for name in optional:
        parser.add_argument(f"--{name}")
    arguments = parser.parse_args()
    try:
        main(arguments, arguments.spec)
    except InputError as error:
        sys.exit(f"error: {error}")


def say(text: str) -> None:
    """A line of progress for the job's log."""
    print(text, flush=True)
