"""All prompts at once, a fixed number of new tokens for each."""

from joulegrid.engines import Request
from joulegrid.workloads import Point
from joulegrid.workloads.prompts import drawn


def points(entry: dict, seed: int) -> list[Point]:
    """One point with a request for each prompt of the workload, all at the start.

    Raises
    ------
    InputError
        where the file holds too few prompts, or something else than prompts.
    """
    new_tokens = entry["new_tokens"]
    requests = (Request(prompt, new_tokens, entry["chat"]) for prompt in drawn(entry, seed))
    return [Point(tuple(requests), new_tokens=new_tokens)]
