"""What Linux counts of the CPUs of this job: load, whose it is, steal, throttling, clocks."""

import os
from pathlib import Path, PurePosixPath

import psutil

from joulegrid.jobs import orphans
from joulegrid.metering.samples import Host

PROC, SYS = Path("/proc"), Path("/sys")
CGROUPS = SYS / "fs/cgroup"
TICKS = os.sysconf("SC_CLK_TCK")


def cpu_quota(proc: Path = PROC, cgroups: Path = CGROUPS) -> float | None:
    """How many CPUs' time the cgroups of this process may use (`docker run --cpus`, systemd's
    CPUQuota, a Kubernetes limit), None where nothing limits it.

    The tightest of its own group and all those above counts.
    """
    quotas = map(_quota, _groups(proc, cgroups))
    return min((quota for quota in quotas if quota is not None), default=None)


def throttled_s(proc: Path = PROC, cgroups: Path = CGROUPS) -> float:
    """Seconds that CPU limits held this job back so far, its own group's and those of all above.

    Their sum: of the largest one nothing would be seen to grow while another one does.
    """
    return sum(map(_throttled_s, _groups(proc, cgroups)))


def _groups(proc: Path, cgroups: Path) -> list[Path]:
    """The groups that share out CPU time to this process: its own and those above, of both
    versions. A container sees its own group as the root.
    """
    try:
        lines = (proc / "self/cgroup").read_text().splitlines()
    except OSError:
        return []
    found = []
    for _, controllers, path in (line.split(":", 2) for line in lines):
        if controllers and "cpu" not in controllers.split(","):
            continue
        # version 2 has one tree, version 1 one for each controller
        root = cgroups / controllers
        for group in (PurePosixPath(path), *PurePosixPath(path).parents):
            found.append(root / group.relative_to("/"))
    return found


def _quota(group: Path) -> float | None:
    """The limit of one group: µs of CPU time in so many µs."""
    for files in (["cpu.max"], ["cpu.cfs_quota_us", "cpu.cfs_period_us"]):
        try:
            quota, period = " ".join((group / name).read_text() for name in files).split()
        except (OSError, ValueError):
            continue
        return int(quota) / int(period) if quota not in ("max", "-1") else None
    return None


def _throttled_s(group: Path) -> float:
    """Of one group: µs in version 2, ns in version 1."""
    try:
        counts = dict(line.split() for line in (group / "cpu.stat").read_text().splitlines())
        if "throttled_usec" in counts:
            return int(counts["throttled_usec"]) / 1e6
        return int(counts.get("throttled_time", 0)) / 1e9
    except (OSError, ValueError):
        return 0.0


class HostCounters:
    """Reads them."""

    def __init__(self) -> None:
        self.cpus = sorted(os.sched_getaffinity(0))

    def read(self) -> Host:
        """All counters now."""
        busy, node_busy, steal = self._cpu_times()
        return Host(
            busy,
            node_busy,
            self._own_time(),
            steal,
            throttled_s(),
            self._memory_stall(),
            self._throttles(),
            self._mhz(),
        )

    def _cpu_times(self) -> tuple[float, float, float]:
        """Busy seconds of this job's CPUs and of all, and stolen seconds of this job's."""
        busy = everywhere = steal = 0
        names = {f"cpu{number}" for number in self.cpus}
        for line in (PROC / "stat").read_text().splitlines():
            name, *values = line.split()
            if not name.startswith("cpu") or name == "cpu":
                continue
            user, nice, system, _, _, irq, softirq, stolen = map(int, values[:8])
            everywhere += user + nice + system + irq + softirq
            if name in names:
                busy += user + nice + system + irq + softirq
                steal += stolen
        return busy / TICKS, everywhere / TICKS, steal / TICKS

    def _own_time(self) -> float:
        """CPU seconds of this process and its children; those that have ended are in its own."""
        own = os.times()
        total = own.user + own.system + own.children_user + own.children_system
        for pid in orphans.descendants(os.getpid()):
            try:
                times = psutil.Process(pid).cpu_times()
            except psutil.Error:  # it has ended
                continue
            total += times.user + times.system + times.children_user + times.children_system
        return total

    def _memory_stall(self) -> float | None:
        try:
            full = (PROC / "pressure/memory").read_text().splitlines()[1]
            return int(full.rpartition("total=")[2]) / 1e6
        except (OSError, ValueError, IndexError):
            return None

    def _throttles(self) -> int | None:
        """Throttling by heat; Intel counts it."""
        counts = []
        for number in self.cpus:
            path = SYS / f"devices/system/cpu/cpu{number}/thermal_throttle"
            try:
                counts.append(int((path / "package_throttle_count").read_text()))
            except (OSError, ValueError):
                return None
        return sum(counts)

    def _mhz(self) -> float | None:
        """Mean clock; a virtual machine shows none."""
        folder, clocks = SYS / "devices/system/cpu", []
        for number in self.cpus:
            try:
                text = (folder / f"cpu{number}/cpufreq/scaling_cur_freq").read_text()
                clocks.append(int(text) / 1000)
            except (OSError, ValueError):
                return None
        return sum(clocks) / len(clocks)
