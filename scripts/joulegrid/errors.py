"""What can go wrong: errors that end a job with one message, and findings that are its result."""


class InputError(Exception):
    """What a user or a file got wrong. The text is the whole message: where, what, what next."""


class Disturbed(InputError):
    """A measurement that cannot count; `windows` are those that were taken, `facts` what else is
    worth keeping.
    """

    def __init__(self, text: str, windows: list, facts: dict | None = None):
        super().__init__(text)
        self.windows, self.facts = windows, facts or {}


class Terminated(BaseException):
    """The job is about to be killed: SIGTERM, near a time limit.

    No Exception: a library that goes on after any of those shall not go on after this.
    """


class Finding(Exception):
    """A failure that is a result of the study: the job ends well and its record says `status`.

    Parameters
    ----------
    kept
        what was measured before it, for the record.
    is_last
        whether the engine died of it, and runs nothing any more.
    """

    status = ""

    def __init__(self, text: str = "", kept: dict | None = None, is_last: bool = False):
        super().__init__(text)
        self.kept, self.is_last = kept or {}, is_last


class Unsupported(Finding):
    """The engine, the method or the device cannot run this configuration."""

    status = "unsupported"


class OutOfMemory(Finding):
    """The configuration does not fit into the memory of the device."""

    status = "oom"


class Diverged(Finding):
    """The loss of a training is no number any more."""

    status = "diverged"
