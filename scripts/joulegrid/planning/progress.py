"""What a run says of itself beside Snakemake's count of steps: joules so far, and how long it still
takes.
"""

import json
import logging
import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

UNITS = ((1e9, "GJ"), (1e6, "MJ"), (1e3, "kJ"))
MINUTE = 60.0
# How Snakemake begins to say that there is nothing to do, and that a dry-run is over
NOTHING, DRY_RUN = "Nothing to be done", "This was a dry-run"


class Started(NamedTuple):
    """A job that runs: its rule, its first output, and when it began, s."""

    rule: str
    output: str | None
    at: float


class Progress(logging.Handler):
    """Listens to what Snakemake logs of its jobs.

    Parameters
    ----------
    tell
        takes a line for people after each job.
    idle
        is called where there is nothing to run.
    clock
        s, of any origin.
    """

    def __init__(
        self,
        tell: Callable[[str], None],
        idle: Callable[[], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__()
        self._tell, self._idle, self._clock = tell, idle, clock
        self._begun, self._last = clock(), ""
        self._counts: Mapping[str, int] = {}
        self._running: dict[int, Started] = {}
        self._took: dict[str, list[float]] = {}
        self._failed: dict[int, str] = {}  # number -> rule; of what is tried again, not any more
        self._joules: Counter[str] = Counter()

    def emit(self, record: logging.LogRecord) -> None:
        """Take note of an event of Snakemake; what is none passes by."""
        said, event = vars(record), getattr(record, "event", None)
        if event == "run_info":
            self._counts = {rule: n for rule, n in said["stats"].items() if rule != "total"}
        elif event == "job_info":
            outputs = said["output"] or [None]
            self._failed.pop(said["jobid"], None)
            self._running[said["jobid"]] = Started(said["rule_name"], outputs[0], self._clock())
        elif event == "job_finished" and said["job_id"] in self._running:
            started = self._running.pop(said["job_id"])
            self._took.setdefault(started.rule, []).append(self._clock() - started.at)
            self._joules.update(joules_in(started.output))
        elif event == "job_error":
            self._running.pop(said["jobid"], None)
            self._failed[said["jobid"]] = said["rule_name"]
        elif event == "progress":
            line = self._line(said["total"], said["total"] - said["done"])
            if line not in ("", self._last):
                self._tell(line)
            self._last = line
        elif event is None and str(record.msg).startswith(NOTHING):
            self._idle()

    def _line(self, total: int, left: int) -> str:
        parts = [f"{amount(joules)} {basis}" for basis, joules in sorted(self._joules.items())]
        found = [f"so far {' and '.join(parts)}"] if parts else []
        failed, left = Counter(self._failed.values()), left - len(self._failed)
        known = {
            rule: max(self._counts.get(rule, 0) - len(took) - failed[rule], 0)
            for rule, took in self._took.items()
        }
        seconds = sum(count * _mean(self._took[rule]) for rule, count in known.items())
        unlike = max(left - sum(known.values()), 0)
        if left and total > sum(self._counts.values()):
            # a selection added jobs, of which Snakemake does not say the kinds
            seconds, unlike = left * _mean([s for took in self._took.values() for s in took]), 0
        if left and seconds:
            more = f", and {unlike} of kinds that were not run yet" if unlike else ""
            found.append(f"about {duration(seconds / self._at_a_time())} still{more}")
        return "; ".join(found)

    def _at_a_time(self) -> float:
        """How many jobs ran at once so far, on the mean; 1 or more."""
        busy = sum(map(sum, self._took.values()))
        return max(busy / max(self._clock() - self._begun, 1e-9), 1.0)


class AfterDryRun(logging.Handler):
    """Calls `tell` at the end of a dry-run, of which Snakemake tells in no other way."""

    def __init__(self, tell: Callable[[], None]) -> None:
        super().__init__()
        self._tell = tell

    def emit(self, record: logging.LogRecord) -> None:
        """Look for the end of a dry-run in what Snakemake logs."""
        if getattr(record, "event", None) is None and str(record.msg).startswith(
            (DRY_RUN, NOTHING)
        ):
            self._tell()


def joules_in(path: str | None) -> dict[str, float]:
    """What the job took whose record lies there, J by basis; nothing of what is no such record.

    Warm-up and idling of a session count with the mean power of what was metered, as they do in
    `cost` of the dataset.
    """
    try:
        with open(str(path), encoding="utf-8") as stream:
            record = json.load(stream)
        if "windows" in record:
            parts = [record["loading"], *record["windows"], *record.get("prefill_windows", ())]
            ways = record["components"]
            longer = record["elapsed_s"] / sum(part["seconds"] for part in parts)
        else:
            cost = record["cost"]
            # of a training it has the epochs that another one trained, and none that were lost
            parts, ways, longer = [record.get("used", cost)], cost["basis"], 1.0
        found: Counter[str] = Counter()
        for part in parts:
            for component, joules in part["energy_j"].items():
                found[_basis(ways, component)] += longer * joules
    except (OSError, ValueError, KeyError, TypeError, AttributeError, ZeroDivisionError):
        return {}
    return {basis: joules for basis, joules in found.items() if joules > 0}


def _basis(ways: Mapping[str, Any], component: str) -> str:
    how = ways[component]
    return str(how["basis"] if isinstance(how, dict) else how)


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)


def amount(joules: float) -> str:
    """Such as 1.23 kJ."""
    factor, unit = next((found for found in UNITS if joules >= found[0]), (1.0, "J"))
    return f"{joules / factor:.3g} {unit}"


def duration(seconds: float) -> str:
    """Such as 1 h 20 min."""
    if seconds < MINUTE:
        return f"{seconds:.0f} s"
    hours, minutes = divmod(round(seconds / MINUTE), 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min"
