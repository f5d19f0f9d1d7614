"""What the meter costs, and how well sessions repeat: run by `make benchmark`, in envs/llm.

Prints the throughput of a small model with the meter running against without it, interleaved, and
the coefficient of variation of windows with and without the rules on disturbance, quiet and beside
a busy loop.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from helpers import tiny_model
from joulegrid.engines import Request, transformers
from joulegrid.metering.meter import Meter
from joulegrid.metering.windows import clean, measure_window, repeat

CPU = {"device": "cpu"}
ROUNDS, SECONDS = 12, 1.5
LOOP = f"{sys.executable} -c 'while True: pass' > /dev/null 2>&1 & echo $!"


def main() -> None:
    """Print the ratios."""
    with tempfile.TemporaryDirectory() as folder:
        weights = tiny_model.make(Path(folder), 256)
        cast = {"method": "cast", "dtype": "float32"}
        engine = transformers.load(weights, cast, CPU, {"batch_size": 4})
    requests = [Request("one two three four", 32, chat=False)] * 4
    for _ in range(5):
        engine.run(requests)
    overhead(engine, requests)
    repeatability(engine, requests)


def overhead(engine, requests) -> None:
    """Tokens per second in turns: with the meter, without."""
    meter, rates = Meter("machine", CPU), {True: [], False: []}
    for number in range(2 * ROUNDS):
        metered = bool(number % 2)
        work = repeat(engine, requests, SECONDS)
        if metered:
            (_, _, written), reading = meter.measure(work)
            seconds = reading.seconds
        else:
            (_, _, written), seconds = timed(work)
        rates[metered].append(written / seconds)
    ratio = statistics.median(rates[True]) / statistics.median(rates[False])
    spread = statistics.stdev(rates[False]) / statistics.fmean(rates[False])
    print(f"meter: throughput with it {ratio:.4f}× that without (windows vary by {spread:.2%})")


def timed(work) -> tuple:
    """The result of `work()` and its seconds."""
    began = time.monotonic()
    return work(), time.monotonic() - began


def repeatability(engine, requests) -> None:
    """Windows of the same work, quiet and with a busy loop beside every other one."""
    for name, disturbed in (("quiet", False), ("disturbed", True)):
        meter, windows = Meter("machine", CPU), []
        for number in range(ROUNDS):
            busy = disturbed and number % 2 == 0
            pid = int(subprocess.check_output(["sh", "-c", LOOP])) if busy else None
            try:
                windows.append(measure_window(engine, requests, meter, SECONDS))
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
