"""Requests without end, so many at a time: measured only while the batch is full."""

from joulegrid.engines import Request
from joulegrid.study.points import points_of
from joulegrid.workloads import Point
from joulegrid.workloads.prompts import drawn


def points(entry: dict, seed: int) -> list[Point]:
    """The prompts of the workload, which come again and again; a point for each combination of
    concurrency and number of new tokens.

    Raises
    ------
    InputError
        where the file holds too few prompts, or something else than prompts.
    """
    prompts, stops = drawn(entry, seed), entry["stop"] == "natural"
    return [
        Point(
            tuple(Request(prompt, most, entry["chat"], stops=stops) for prompt in prompts),
            new_tokens=most,
            at_once=at_once,
            steady=True,
        )
        for at_once, _, most in points_of(entry)
    ]
