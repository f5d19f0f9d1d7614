"""Windows of a session: metered stretches of the workload, measured until their mean is known well
enough, and whether they count.
"""

import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

from joulegrid.engines import Completion
from joulegrid.errors import Disturbed
from joulegrid.jobs.run import say
from joulegrid.metering.closed_loop import ClosedLoop
from joulegrid.metering.meter import Meter

# A mean of fewer windows has no interval worth the name
FEWEST_WINDOWS = 3
# Student's t, 97.5 %, by degrees of freedom; more than these are near enough to the last
T = (
    12.706,
    4.303,
    3.182,
    2.776,
    2.571,
    2.447,
    2.365,
    2.306,
    2.262,
    2.228,
    2.201,
    2.179,
    2.160,
    2.145,
)
# What a window says of its work
COUNTED = ("runs", "requests", "tokens_read", "tokens_written", "padding")
Window = dict[str, Any]
# runs the requests of a point once
Run = Callable[[], Sequence[Completion]]
Check = Callable[[Window], str | None]


def measure_windows(
    windows: list[Window],
    run: Run,
    meter: Meter,
    protocol: dict[str, Any],
    check: Check,
) -> None:
    """Add windows of at least `min_seconds` each, until the mean energy per token is known to
    `precision`.

    A window that is disturbed or read wrongly is kept with the reason and another one measured, up
    to `max_windows` more. What is in `windows` is finished, whenever the work is cut short.
    """
    while not enough(windows, protocol):
        window = measure_window(run, meter, protocol["min_seconds"])
        wrong = check(window)
        if wrong:
            for key in ("disturbed", "wrong"):
                window[key] = [*window.get(key, ()), wrong]
        windows.append(window)
        _say(len(windows), window)


def require_clean(
    windows: Sequence[Window], protocol: dict[str, Any], ended: str | None = None
) -> None:
    """See that enough windows count; `ended` says why the session ended early, if it did.

    Raises
    ------
    Disturbed
        with the windows, where too few count.
    """
    if count(windows, protocol):
        return
    if ended:
        raise Disturbed(f"{ended}; the next run tries again", list(windows))
    refused = protocol["disturbed"] == "refuse"
    reasons = _reasons(windows, "disturbed" if refused else "wrong")
    what = "the machine was disturbed" if refused else "too few windows can count"
    raise Disturbed(f"{what}: {reasons}", list(windows))


def count(windows: Sequence[Window], protocol: dict[str, Any]) -> bool:
    """Whether enough windows count. Where too few are clean, the disturbed ones are let count if
    the protocol accepts that; those whose reading cannot be right never are.
    """
    needed = min(FEWEST_WINDOWS, protocol["max_windows"])
    if len(clean(windows)) >= needed:
        return True
    possible = [window for window in windows if not window.get("wrong")]
    if protocol["disturbed"] == "refuse" or len(possible) < needed:
        return False
    for window in possible:
        window["counts"] = True
    return True


def _reasons(windows: Sequence[Window], key: str) -> str:
    return "; ".join(dict.fromkeys(text for window in windows for text in window.get(key, ())))


def clean(windows: Sequence[Window]) -> list[Window]:
    """The windows that count."""
    return [window for window in windows if window.get("counts") or not window.get("disturbed")]


def enough(windows: Sequence[Window], protocol: dict[str, Any]) -> bool:
    """Whether no more windows are needed or may be spent."""
    good, most = clean(windows), protocol["max_windows"]
    if len(good) >= most or len(windows) >= 2 * most:
        return True
    values = [sum(w["energy_j"].values()) / w["tokens_written"] for w in good]
    return len(values) >= FEWEST_WINDOWS and relative_half_width(values) <= protocol["precision"]


def measure_window(run: Run, meter: Meter, min_seconds: float) -> Window:
    """One metered stretch: the workload as often as it takes to fill `min_seconds`; of a closed
    loop a stretch in which its batch is full.
    """
    if isinstance(run, ClosedLoop):
        return run.window(meter, min_seconds)
    counted, reading = meter.measure(repeat(run, min_seconds))
    return {**reading.facts(), **counted}


def repeat(run: Run, min_seconds: float) -> Callable[[], dict[str, int]]:
    """Work that runs the workload for at least `min_seconds`, and gives how often it ran, and its
    requests, tokens read and written, and padding.
    """

    def work() -> dict[str, int]:
        began, counted = time.perf_counter(), dict.fromkeys(COUNTED, 0)
        while counted["runs"] == 0 or time.perf_counter() - began < min_seconds:
            completions = run()
            counted["runs"] += 1
            counted["requests"] += len(completions)
            counted["tokens_read"] += sum(c.tokens_read for c in completions)
            counted["tokens_written"] += sum(c.tokens_written for c in completions)
            counted["padding"] += sum(c.padding for c in completions)
        return counted

    return work


def _say(number: int, window: Window) -> None:
    joules = sum(window["energy_j"].values())
    say(
        f"window {number}: {window['seconds']:.2f} s, {joules:.1f} J, "
        f"{window['tokens_written'] / window['seconds']:.1f} tokens/s "
        f"{'; '.join(window.get('disturbed', ()))}"
    )


def relative_half_width(values: Sequence[float]) -> float:
    """Half width of the 95 % interval (Student's t) of the mean of at least two values, relative to
    the mean.
    """
    quantile = T[min(len(values) - 1, len(T)) - 1]
    return quantile * statistics.stdev(values) / len(values) ** 0.5 / abs(statistics.fmean(values))
