"""What judges are asked and paid for: tokens and USD of the verdicts that a run would ask for.

Every question is asked twice, with the answers swapped. How long answers and replies are, nobody
knows before; questions are counted as whole lines of their file.
"""

import json
from collections.abc import Iterable
from typing import Any, NamedTuple

from joulegrid.planning.effort import ANSWERED, samples
from joulegrid.planning.ranges import Range, end_to_end, times
from joulegrid.planning.sizes import BYTES_PER_TOKEN
from joulegrid.records import ROOT
from joulegrid.study.job import Job

ORDERS, MILLION = 2, 1e6
SHARE = Range(0.25, ANSWERED, 1.0)  # of the most new tokens, of an answer
REPLY = Range(100.0, 400.0, 800.0)  # tokens of a verdict that is reasoned; no more than max_tokens


class Verdicts(NamedTuple):
    """What judges are asked.

    Parameters
    ----------
    requests
        at most: of questions that both answered.
    read, written
        tokens.
    usd
        of judges with a price; None where none has one.
    """

    requests: int
    read: Range
    written: Range
    usd: Range | None


def of_jobs(data: dict[str, Any], jobs: Iterable[Job]) -> Verdicts | None:
    """Of the jobs that a run would make; None where nobody is asked.

    Parameters
    ----------
    data
        the study.
    """
    found = [_of_task(data, job.labels[4]) for job in jobs if job.kind == "judgments"]
    if not found:
        return None
    paid = [each.usd for each in found if each.usd is not None]
    return Verdicts(
        sum(each.requests for each in found),
        end_to_end(each.read for each in found),
        end_to_end(each.written for each in found),
        end_to_end(paid) if paid else None,
    )


def _of_task(data: dict[str, Any], label: str) -> Verdicts:
    """Of one configuration in a task. What errs, errs in all requests alike."""
    task = data["quality"][label]
    own = data["quality"][task["answers"]]
    other = data["quality"][task.get("against", task["answers"])]
    count, size = samples(json.dumps({"file": own["data"]}))
    requests = ORDERS * int(min(count, own.get("limit", count), other.get("limit", count)))
    judge = task["judge"]
    shown = ((ROOT / judge["prompt"]).stat().st_size + size) / BYTES_PER_TOKEN
    answers = times(SHARE, own["new_tokens"] + other["new_tokens"])
    read = Range(*(requests * (shown + tokens) for tokens in answers))
    written = Range(*(requests * min(tokens, judge["max_tokens"]) for tokens in REPLY))
    price = judge.get("usd_per_million")
    usd = price and end_to_end(
        (times(read, price["read"] / MILLION), times(written, price["written"] / MILLION))
    )
    return Verdicts(requests, read, written, usd)
