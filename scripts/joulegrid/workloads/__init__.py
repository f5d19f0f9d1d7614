"""Workloads: what is asked of an engine. One module per method, named as in a study, with
`points(entry, seed)`.
"""

from dataclasses import dataclass

from joulegrid.engines import Request


@dataclass(frozen=True)
class Point:
    """Requests that are measured together. A sweep is several of them, for one load of the model.

    Parameters
    ----------
    prompt_tokens, new_tokens
        of each request: what was asked for exactly, or at most; None where that is left to the
        prompts.
    at_once
        how many requests may be under way at a time; None: as many as the engine takes.
    steady
        whether the requests come again and again, and only the time counts in which `at_once` are
        under way.
    """

    requests: tuple[Request, ...]
    prompt_tokens: int | None = None
    new_tokens: int | None = None
    at_once: int | None = None
    steady: bool = False
