"""Metering work that begins and ends in callbacks, by the meter that measures inference."""

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from threading import Event
from typing import Any

from joulegrid.metering.cost import unmetered
from joulegrid.metering.meter import Meter


class Stopwatch:
    """Meters a stretch between `start` and `stop`: a thread waits in the meter meanwhile."""

    def __init__(self, meter: Meter):
        self.meter = meter
        self._pool = ThreadPoolExecutor(max_workers=1)
        self._ended = Event()
        self._running: Future[Any] | None = None
        self._began_s = 0.0

    def start(self) -> None:
        """Begin a stretch; returns when it is being metered. Samples of those before are let go: a
        training may take days.
        """
        began, ended = Event(), Event()
        self._ended, self._began_s = ended, time.monotonic()
        self.meter.forget()

        def work() -> None:
            began.set()
            ended.wait()

        self._running = self._pool.submit(self.meter.measure, work)
        while not began.wait(0.1) and not self._running.done():
            pass

    def so_far(self) -> dict[str, Any]:
        """Seconds and J by component since `start`; zeros before there are two samples."""
        samples = self.meter.recorded
        if self._running is None or len(samples) < 2:
            return {"seconds": 0.0, "energy_j": {}}
        reading = self.meter.reading(samples, {})
        return {"seconds": reading.seconds, "energy_j": reading.energy_j}

    def stop(self) -> dict[str, Any]:
        """What the stretch took, as a record stores it. Where the meter failed, what was done is
        worth keeping: it has no energy, and says why as of a wrong reading.
        """
        assert self._running is not None
        running, self._running = self._running, None
        self._ended.set()
        try:
            facts = running.result()[1].facts()
        except Exception as error:
            facts = unmetered(error, self._began_s)
        # with the basis of each component: a job that goes on may be on another machine
        return {**facts, "basis": {c: how["basis"] for c, how in self.meter.basis.items()}}

    def measure(self, work: Callable[[], Any]) -> tuple[Any, dict[str, Any]]:
        """Run `work()`: what it gives, and what it took, likewise."""
        self.start()
        try:
            result = work()
        finally:
            facts = self.stop()
        return result, facts

    def close(self) -> None:
        """End a stretch that nobody will ask for, and the thread."""
        self._ended.set()
        if self._running is not None:
            wait([self._running])
        self._pool.shutdown()
