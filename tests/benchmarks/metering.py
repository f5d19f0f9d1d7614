"""What the meter costs, and how well sessions repeat: run by `make benchmark`, in envs/llm.

Prints the throughput of a small model with the meter running against without it, in pairs, and
the coefficient of variation of windows with and without the rules on disturbance, quiet and beside
a busy loop.
"""

import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from helpers import tiny_model
from joulegrid.engines import Completion, Request, transformers
from joulegrid.metering.meter import Meter
from joulegrid.metering.windows import Run, Window, clean, measure_window, repeat

CPU = {"device": "cpu"}
PAIRS, WINDOWS, SECONDS = 60, 12, 1.5
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
    meter, ratios = Meter("machine", CPU), []
    for number in range(PAIRS):
        rates = {}
        for metered in sorted((True, False), reverse=bool(number % 2)):
            window = measure_window(run, meter, SECONDS) if metered else unmetered(run)
            rates[metered] = window["tokens_written"] / window["seconds"]
        ratios.append(rates[True] / rates[False])
    drawn = random.Random(SEED)
    medians = [statistics.median(drawn.choices(ratios, k=PAIRS)) for _ in range(DRAWS)]
    low, *_, high = statistics.quantiles(medians, n=40)
    print(
        f"meter: throughput with it {statistics.median(ratios):.4f}× that without (median of "
        f"{PAIRS} pairs, 95 % from {low:.4f} to {high:.4f} by resampling pairs; ratios of single "
        f"pairs vary by {statistics.stdev(ratios):.2%})"
    )


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
