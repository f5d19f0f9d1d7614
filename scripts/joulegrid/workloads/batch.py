"""All prompts at once: exactly so many new tokens for each, or as many as the model gives them."""

from joulegrid.engines import Request
from joulegrid.study.points import points_of
from joulegrid.workloads import Point
from joulegrid.workloads.prompts import drawn


def points(entry: dict, seed: int) -> list[Point]:
    """A request for each prompt of the workload, all at the start; a point for each combination of
    concurrency and number of new tokens.

    Raises
    ------
    InputError
        where the file holds too few prompts, or something else than prompts.
    """
    prompts, stops = drawn(entry, seed), entry.get("stop") == "natural"
    return [
        Point(
            tuple(Request(prompt, most, entry["chat"], stops=stops) for prompt in prompts),
            new_tokens=most,
            at_once=at_once,
        )
        for at_once, _, most in points_of(entry)
    ]
