"""A sweep of prompts and answers of exact lengths: what a token costs that is read, and one that is
written.
"""

import random

from joulegrid.engines import Request
from joulegrid.errors import InputError
from joulegrid.study.points import points_of
from joulegrid.texts.files import prompts_of
from joulegrid.workloads import Point

# No tokenizer makes tokens of more letters of ordinary text; what is too much is cut
LETTERS_PER_TOKEN = 8


def points(entry: dict, seed: int) -> list[Point]:
    """`count` requests all at the start, at a point for each combination of the lengths.

    A prompt is all prompts of the file in an order drawn with `seed`, again and again, until there
    is enough text for the longest; the engine cuts it to the point's number of tokens, so that the
    prompts of one point begin as those of the others.

    Raises
    ------
    InputError
        where the file holds no prompts, or something else.
    """
    found, draw = prompts_of(entry["prompts"]), random.Random(seed)
    if not found:
        raise InputError(f"{entry['prompts']['path']}: it has no prompts")
    swept = points_of(entry)
    letters = LETTERS_PER_TOKEN * max(read or 0 for _, read, _ in swept)
    texts = [composed(found, letters, draw) for _ in range(entry["count"])]
    return [
        Point(
            tuple(Request(text, new, chat=False, prompt_tokens=read) for text in texts),
            prompt_tokens=read,
            new_tokens=new,
            at_once=at_once,
        )
        for at_once, read, new in swept
    ]


def composed(prompts: list[str], letters: int, draw: random.Random) -> str:
    """A text of at least so many letters, out of prompts in drawn order."""
    parts: list[str] = []
    while sum(map(len, parts)) < letters:
        parts += draw.sample(prompts, len(prompts))
    return "\n".join(parts)
