"""CodeCarbon, kept from everything that is none of the study's business.

CodeCarbon reads settings from files in home and working directory and from the environment, sizes
CPU and memory by the request of a Slurm job, and picks GPUs by CUDA_VISIBLE_DEVICES. None of these
may change a result: it is told what to read, and sees nothing else. Its figure stands beside ours.
"""

import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from joulegrid.units import J_PER_KWH

# What it would follow, read when it is imported and when it sets up
HIDDEN = ("SLURM_JOB_ID", "SLURM_JOBID")


@contextmanager
def _hidden() -> Iterator[None]:
    """Without the variables that it would follow."""
    held = {
        name: os.environ.pop(name)
        for name in list(os.environ)
        if name in HIDDEN or name.startswith("CODECARBON_")
    }
    try:
        yield
    finally:
        os.environ.update(held)


with _hidden():
    from codecarbon import OfflineEmissionsTracker, emissions_tracker
    from codecarbon.core.cpu import TDP
    from codecarbon.external.logger import logger

# Files of settings count nothing
emissions_tracker.get_hierarchical_config = dict


class Tracker:
    """CodeCarbon's reading of a stretch of work.

    Parameters
    ----------
    gpu_indices
        NVML's numbers of the boards; [] where the work uses none.
    cpu_w
        what it shall take for a CPU without a counter, in W; None: it looks for the counter (RAPL),
        which it does not where it is told a wattage.
    ram_w
        what it shall take for the memory, in W.
    """

    def __init__(self, tracking: str, gpu_indices: list[int], cpu_w: float | None, ram_w: float):
        self.warnings: list[str] = []
        handler = _Listener(self.warnings)
        logger.addHandler(handler)
        with _hidden(), warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            self._tracker: Any = OfflineEmissionsTracker(
                country_iso_code="FRA",  # asked for, but its emissions are never read
                tracking_mode=tracking,
                gpu_ids=gpu_indices,
                force_cpu_power=cpu_w,
                force_ram_power=ram_w,
                force_mode_cpu_load=False,
                measure_power_secs=1,
                output_methods=[],
                pue=1.0,
                wue=0.0,
                rapl_include_dram=False,
                rapl_prefer_psys=False,
                metadata={},
                allow_multiple_runs=True,
                log_level="warning",
            )
        for each in logger.handlers:  # its own one would write the same into the log
            if each is not handler:
                each.setLevel(logging.CRITICAL)
        self.start()
        self.stop()  # sets up the hardware, so that no reading pays for it

    def start(self) -> None:
        """Begin a stretch."""
        with _hidden():
            self._tracker.start_task()

    def stop(self) -> dict[str, float]:
        """J by component since `start`."""
        with _hidden():
            data = self._tracker.stop_task()
        kwh = {"cpu": data.cpu_energy, "gpu": data.gpu_energy, "ram": data.ram_energy}
        return {name: float(value) * J_PER_KWH for name, value in kwh.items()}


class _Listener(logging.Handler):
    """Keeps what CodeCarbon warns of, once each."""

    def __init__(self, texts: list[str]):
        super().__init__(logging.WARNING)
        self._texts = texts

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if text not in self._texts and "Multiple instances" not in text:
            self._texts.append(text)


def design_power(name: str) -> float | None:
    """Thermal design power in W of a CPU by the name that Linux gives it, None where CodeCarbon's
    table has no such CPU.
    """
    if not name:
        return None
    finder = TDP.__new__(TDP)  # its constructor looks at this machine and warns
    return finder._get_cpu_power_from_registry(name)
