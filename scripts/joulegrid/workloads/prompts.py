"""Which prompts a workload works through."""

import random

from joulegrid.errors import InputError
from joulegrid.texts.files import prompts_of


def drawn(entry: dict, seed: int) -> list[str]:
    """The prompts of a workload: all of its file, or `count` of them drawn with `seed`, in the
    order of the file.

    Raises
    ------
    InputError
        where the file holds fewer than `count`, or something else than prompts.
    """
    found = prompts_of(entry["prompts"])
    count = entry.get("count", len(found))
    if not found or count > len(found):
        name = entry["prompts"]["path"]
        raise InputError(f"{name}: has {len(found)} prompts, the workload asks for {max(count, 1)}")
    chosen = sorted(random.Random(seed).sample(range(len(found)), count))
    return [found[i] for i in chosen]
