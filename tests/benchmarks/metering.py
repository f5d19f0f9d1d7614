"""What the meter costs, and how well sessions repeat: run by `make benchmark`, in envs/llm.

Prints the processor time of the meter's threads, the throughput of a small model with the meter
running against without it, in pairs, and the coefficient of variation of windows with and without
the rules on disturbance, quiet and beside a busy loop.
"""

import os
import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from helpers import tiny_model
from joulegrid.engines import Completion, Request, transformers
from joulegrid.metering.meter import Meter
from joulegrid.metering.windows import Run, Window, clean, measure_window, repeat

CPU = {"device": "cpu"}
PAIRS, WINDOWS, SECONDS = 150, 12, 1.5
DRAWS, SEED = 2000, 0
LOOP = f"{sys.executable} -c 'while True: pass' > /dev/null 2>&1 & echo $!"
REQUESTS = [Request("one two three four", 32, chat=False)] * 4


def main() -> None:
    """Print the ratios."""
    with tempfile.TemporaryDirectory() as folder:
        weights = tiny_model.make(Path(folder), 256)
        cast = {"method": "cast", "dtype": "float32"}
        engine = transformers.load(weights, cast, CPU, {"batch_size": 4})

    def run() -> Sequence[Completion]:
        return engine.run(REQUESTS)

    for _ in range(5):
        run()
    overhead(run)
    repeatability(run)


def overhead(run: Run) -> None:
    """Tokens per second with meter and telemetry against without, in pairs; which one begins
    changes, so that a drift falls on both.
    """
    meter, ratios, shares = Meter("machine", CPU), [], []
    for number in range(PAIRS):
        rates = {}
        for metered in sorted((True, False), reverse=bool(number % 2)):
            window, spent_s = watched(run, meter) if metered else (unmetered(run), 0.0)
            rates[metered] = window["tokens_written"] / window["seconds"]
            if metered:
                shares.append(spent_s / window["seconds"])
        ratios.append(rates[True] / rates[False])
    print(
        f"meter: its threads take {statistics.median(shares):.3%} of the time of one CPU (median "
        f"of {PAIRS} windows, at most {max(shares):.3%}); what the work waits for them is not in it"
    )
    drawn = random.Random(SEED)
    medians = [statistics.median(drawn.choices(ratios, k=PAIRS)) for _ in range(DRAWS)]
    low, *_, high = statistics.quantiles(medians, n=40)
    print(
        f"meter: throughput with it {statistics.median(ratios):.4f}× that without (median of "
        f"{PAIRS} pairs, 95 % from {low:.4f} to {high:.4f} by resampling pairs; ratios of single "
        f"pairs vary by {statistics.stdev(ratios):.2%})"
    )


def watched(run: Run, meter: Meter) -> tuple[Window, float]:
    """A metered window, and the processor time of the threads beside the work, in s.

    Those of PyTorch are none of Python's, so that all others in the list are the meter's.
    """
    before, spent_s = _thread_times(), 0.0

    def work() -> dict[str, int]:
        nonlocal spent_s
        counted = repeat(run, SECONDS)()
        now = _thread_times()  # they end with the window
        spent_s = sum(seconds - before.get(ident, 0.0) for ident, seconds in now.items())
        return counted

    counted, reading = meter.measure(work)
    return {**reading.facts(), **counted}, spent_s


def _thread_times() -> dict[int, float]:
    """Processor time in s of each thread of Python's but the one that works."""
    others = (t.ident for t in threading.enumerate() if t is not threading.current_thread())
    return {
        ident: time.clock_gettime(time.pthread_getcpuclockid(ident))
        for ident in others
        if ident is not None
    }


def unmetered(run: Run) -> Window:
    """What a window counts, and its seconds."""
    began = time.monotonic()
    counted = repeat(run, SECONDS)()
    return {**counted, "seconds": time.monotonic() - began}


def repeatability(run: Run) -> None:
    """Windows of the same work, quiet and with a busy loop beside every other one."""
    for name, disturbed in (("quiet", False), ("disturbed", True)):
        meter, windows = Meter("machine", CPU), []
        for number in range(WINDOWS):
            busy = disturbed and number % 2 == 0
            pid = int(subprocess.check_output(["sh", "-c", LOOP])) if busy else None
            try:
                windows.append(measure_window(run, meter, SECONDS))
            finally:
                if pid is not None:
                    os.kill(pid, 9)
        counting = clean(windows)
        print(
            f"{name}: seconds per token vary by {variation(windows):.1%} over all windows, "
            f"{variation(counting):.1%} over the {len(counting)} of {len(windows)} that count"
        )


def variation(windows) -> float:
    """Coefficient of variation of the time per token."""
    values = [window["seconds"] / window["tokens_written"] for window in windows]
    return statistics.stdev(values) / statistics.fmean(values) if len(values) > 1 else 0.0


if __name__ == "__main__":
    main()
