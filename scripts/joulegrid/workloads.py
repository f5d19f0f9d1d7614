"""Workloads: which prompts a measured run works through."""

import json
import random
from pathlib import Path

from joulegrid.records import ROOT, InputError


def prompts(entry: dict, seed: int) -> list[str]:
    """The prompts of a workload: all of its file, or `count` of them drawn with `seed`, in the order of the file.

    Raises
    ------
    InputError
        with file and line, where a line is not {"prompt": text}, or the file holds fewer than `count`.
    """
    found = []
    for number, line in enumerate(Path(ROOT, entry["prompts"]).read_text(encoding="utf-8").splitlines(), start=1):
        if not line.strip():
            continue
        where = f"{entry['prompts']}:{number}"
        try:
            prompt = json.loads(line)["prompt"]
        except (ValueError, KeyError, TypeError):
            raise InputError(f'{where}: expected one JSON object per line, {{"prompt": "…"}}') from None
        if not isinstance(prompt, str) or not prompt.strip():
            raise InputError(f"{where}: the prompt is not a text")
        found.append(prompt)
    count = entry.get("count", len(found))
    if not found or count > len(found):
        raise InputError(f"{entry['prompts']}: has {len(found)} prompts, the workload asks for {max(count, 1)}")
    chosen = sorted(random.Random(seed).sample(range(len(found)), count))
    return [found[i] for i in chosen]
