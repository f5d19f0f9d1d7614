"""GPU counters through NVML, of the boards that this job computes on, chosen by UUID.

CUDA numbers boards by speed unless told otherwise, NVML by PCI bus, and a scheduler may hide some
from one of them: a position is no identity.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psutil

from joulegrid.errors import InputError
from joulegrid.jobs import orphans
from joulegrid.jobs.devices import MIG
from joulegrid.metering.samples import Board, Gpu

# nvmlClocksEventReasons (nvml.h) that disturb. A software power cap, 0x4, does not: it is how a
# loaded board works
SLOWED = {
    0x8: "hardware slowdown",
    0x20: "software thermal slowdown",
    0x40: "hardware thermal slowdown",
    0x80: "power brake",
}

# nvmlReturn_t (nvml.h) that say of any question that the board, or the driver, is gone: not
# initialized, driver not loaded, GPU is lost, reset required
GONE = (1, 9, 15, 16)

# Where NVML never named a process of this job
UNSEEN = (
    "NVML does not name this job's own process on the GPU, as in a container with process numbers "
    "of its own: whether others computed there is not known (--pid=host shows it)"
)
# Of a board without event reasons
MUTE = "does not tell why its clocks are low: whether it was slowed down is not known"


class NvmlCounters:
    """Reads the boards with these UUIDs.

    Raises
    ------
    InputError
        where NVML is not there, a board is not there, or it is divided by MIG: power and energy
        exist for the whole board only.
    """

    def __init__(self, uuids: list[str]):
        self._nvml = _library()
        self._handles = {uuid: self._handle(uuid) for uuid in uuids}
        with self._answering():
            self.boards = {uuid: self._board(handle) for uuid, handle in self._handles.items()}
            self.indices = [self._nvml.nvmlDeviceGetIndex(h) for h in self._handles.values()]
            self._mute = [u for u, h in self._handles.items() if self._reasons(h) is None]
        self._others: dict[str, int] = {}
        self._own_was_seen = False

    @property
    def warnings(self) -> list[str]:
        """What is to be said once this job has computed on its boards."""
        unseen = [] if self._own_was_seen else [UNSEEN]
        return [*unseen, *(f"GPU {uuid} {MUTE}" for uuid in self._mute)]

    def read(self, quick: bool = False) -> dict[str, Gpu]:
        """A sample of every board. A quick one repeats who else was on it.

        Raises
        ------
        InputError
            where a board answers no more: the driver was unloaded, or the board fell off the bus.
        """
        with self._answering():
            if not quick or not self._others:
                self._others = self._processes_of_others()
            return {uuid: self._sample(uuid, handle) for uuid, handle in self._handles.items()}

    @contextmanager
    def _answering(self) -> Iterator[None]:
        try:
            yield
        except self._nvml.NVMLError as error:
            raise InputError(f"the GPU answers no more (driver reloaded?): {error}") from None

    def _handle(self, uuid: str) -> Any:
        nvml = self._nvml
        try:
            handle = nvml.nvmlDeviceGetHandleByUUID(uuid)
        except nvml.NVMLError as error:
            raise InputError(f"NVML knows no GPU {uuid}: {error}") from None
        try:
            divided = nvml.nvmlDeviceGetMigMode(handle)[0]
        except nvml.NVMLError:
            divided = 0  # a board that cannot be divided
        if divided:
            raise InputError(f"GPU {uuid}: {MIG}")
        return handle

    def _board(self, handle: Any) -> Board:
        limit = self._ask("nvmlDeviceGetEnforcedPowerLimit", handle)
        counter = self._ask("nvmlDeviceGetTotalEnergyConsumption", handle)
        return Board(
            None if limit is None else limit / 1000,
            counter is not None,
            self._instant_power(handle) is not None,
        )

    def _sample(self, uuid: str, handle: Any) -> Gpu:
        nvml = self._nvml
        counter = (
            nvml.nvmlDeviceGetTotalEnergyConsumption(handle)
            if self.boards[uuid].has_counter
            else None
        )
        return Gpu(
            counter,
            self._power(handle),
            self._ask("nvmlDeviceGetTemperature", handle, nvml.NVML_TEMPERATURE_GPU),
            self._ask("nvmlDeviceGetClockInfo", handle, nvml.NVML_CLOCK_SM),
            self._reasons(handle),
            self._others[uuid],
            None if self.boards[uuid].has_counter else self._busy(handle),
        )

    def _instant_power(self, handle: Any) -> float | None:
        field = self._nvml.NVML_FI_DEV_POWER_INSTANT
        values = self._ask("nvmlDeviceGetFieldValues", handle, [field])
        return values[0].value.uiVal / 1000 if values and values[0].nvmlReturn == 0 else None

    def _power(self, handle: Any) -> float | None:
        """Instant power, else the plain reading: a mean over 1 s on most boards since Ampere."""
        watts = self._instant_power(handle)
        if watts is not None:
            return watts
        milliwatts = self._ask("nvmlDeviceGetPowerUsage", handle)
        return None if milliwatts is None else milliwatts / 1000

    def _reasons(self, handle: Any) -> int | None:
        found = self._ask("nvmlDeviceGetCurrentClocksThrottleReasons", handle)
        return None if found is None else int(found)

    def _busy(self, handle: Any) -> float | None:
        found = self._ask("nvmlDeviceGetUtilizationRates", handle)
        return None if found is None else found.gpu / 100

    def _processes_of_others(self) -> dict[str, int]:
        """How many processes compute on each board that are not of this job."""
        running = {
            uuid: [
                process.pid
                for process in self._ask("nvmlDeviceGetComputeRunningProcesses", handle) or []
            ]
            for uuid, handle in self._handles.items()
        }
        if not any(running.values()):
            return dict.fromkeys(running, 0)
        own = {os.getpid(), *orphans.descendants(os.getpid())}
        self._own_was_seen |= any(own.intersection(pids) for pids in running.values())
        return {uuid: _foreign(pids, own) for uuid, pids in running.items()}

    def _ask(self, function: str, *arguments: Any) -> Any:
        """An answer of NVML, None where the board does not support the question."""
        try:
            return getattr(self._nvml, function)(*arguments)
        except self._nvml.NVMLError as error:
            if getattr(error, "value", None) in GONE:
                raise
            return None


def _foreign(pids: list[int], own: set[int]) -> int:
    """How many of these processes are not `own`. Numbers that do not exist here are those of
    another namespace, as a container has one: own processes may be among them.
    """
    here = [pid for pid in pids if psutil.pid_exists(pid)]
    return sum(pid not in own for pid in here) + max(len(pids) - len(here) - len(own), 0)


def _library() -> Any:
    import pynvml

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        raise InputError(
            f"the cell runs on a GPU, but NVML cannot be read: {error}; is the driver there, and "
            "in a container libnvidia-ml.so.1 (--nv, --gpus)?"
        ) from None
    return pynvml
