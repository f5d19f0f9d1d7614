"""All counters of a machine together, and the thread that samples them."""

import threading
import time
from typing import Protocol

import psutil

from joulegrid.metering import rapl
from joulegrid.metering.host import HostCounters
from joulegrid.metering.nvml import NvmlCounters
from joulegrid.metering.samples import Equipment, Sample

# GPUs refresh counter and power about every 100 ms (ML.ENERGY 2026; Yang et al. 2024). RAPL zones
# wrap after 160 s at the earliest (an AMD package at 400 W)
INTERVAL_S, INTERVAL_WITH_GPUS_S = 1.0, 0.1


class Sensors(Protocol):
    """Something that can be sampled: a machine, or a recording of one."""

    equipment: Equipment

    def read(self, quick: bool = False) -> Sample:
        """A sample; a quick one may repeat what costs time to read."""
        ...


class MachineSensors:
    """The counters of this machine, of the boards with these UUIDs."""

    def __init__(self, uuids: list[str]):
        self._host, self.rapl = HostCounters(), rapl.find()
        self._last = self._host.read()
        self.nvml = NvmlCounters(uuids) if uuids else None
        self.equipment = Equipment(
            len(self._host.cpus),
            psutil.cpu_count() or 1,
            self.rapl.zones,
            self.nvml.boards if self.nvml else {},
        )

    def read(self, quick: bool = False) -> Sample:
        """Everything at (nearly) one time; the energy counters first."""
        now, zones = time.monotonic(), self.rapl.read()
        gpus = self.nvml.read(quick) if self.nvml else {}
        if not quick:
            self._last = self._host.read()
        return Sample(now, self._last, zones, gpus)


class Sampler:
    """Samples in the background, so that no counter wraps unseen and power can be integrated.

    `with Sampler(sensors) as sampler: …` gives `sampler.samples`, from the begin of the block
    to its end; both ends are sampled.

    Parameters
    ----------
    interval_s
        between two samples; None: as often as the machine's counters ask for.
    """

    def __init__(self, sensors: Sensors, interval_s: float | None = None):
        self._sensors, self.samples = sensors, [sensors.read()]
        usual = INTERVAL_WITH_GPUS_S if sensors.equipment.gpus else INTERVAL_S
        self._interval = interval_s or usual
        self._stop = threading.Event()
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> "Sampler":
        self._thread.start()
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        if kind is not None:
            return
        if self._error is not None:
            raise self._error
        self.samples.append(self._sensors.read())

    def _run(self) -> None:
        count = 0
        while not self._stop.wait(self._interval):
            count += 1
            quick = bool(count % round(INTERVAL_S / self._interval))
            try:
                self.samples.append(self._sensors.read(quick))
            except Exception as error:  # whatever it is: what was not sampled is not known
                self._error = error
                return
