"""All prompts at once, a fixed number of new tokens for each."""

from joulegrid.engines import Request
from joulegrid.workloads.prompts import drawn


def requests(entry: dict, seed: int) -> list[Request]:
    """A request for each prompt of the workload, all at the start.

    Raises
    ------
    InputError
        where the file holds too few prompts, or something else than prompts.
    """
    return [Request(prompt, entry["new_tokens"], entry["chat"]) for prompt in drawn(entry, seed)]
