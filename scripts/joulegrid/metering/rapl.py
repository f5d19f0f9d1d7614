"""RAPL energy counters of CPU packages and DRAM, as Linux shows them under /sys/class/powercap.

AMD's packages are in the same place under the same names. A package holds its cores and uncore;
psys holds the packages: none of these is ever added to a package. Some AMD machines show one
package's counter under several zones (mirrored); only the first one counts.
"""

import time
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from joulegrid.metering.energy import counted_uj
from joulegrid.metering.samples import Zone

POWERCAP = Path("/sys/class/powercap")
# Where the kernel has the zones. Docker, containerd and podman have mounted an empty folder over it
# since October 2023, against CVE-2020-8694
BEHIND = "/sys/devices/virtual/powercap"
MOUNTS = Path("/proc/self/mounts")
UNMASK = (
    "docker run --security-opt systempaths=unconfined, or podman run --security-opt "
    f"unmask={BEHIND}, shows it"
)
# A DRAM counter above this many W per GB is one with a wrong unit (Granite Rapids shows some
# 200 W): DDR4 under load was measured at 0.1 to 0.2 W/GB, RAPL itself says up to 0.3. It is looked
# at before the work: a unit that is wrong by little stays unseen
PLAUSIBLE_DRAM_W_PER_GB = 0.4
DRAM_LOOK_S = 0.1
# Packages are compared so many times. A counter goes on each 1 ms
MIRROR_ROUNDS, MIRROR_LOOK_S = 10, 0.005
GRANT = "sudo chmod o+r /sys/class/powercap/intel-rapl*/energy_uj"


@dataclass
class Rapl:
    """The zones that are read, and what was found beside them.

    Parameters
    ----------
    zones
        packages and DRAM, by name.
    beside
        zones that are there and not added, with the reason.
    denied, memory_denied
        whether packages or DRAM are there that this user may not read.
    """

    zones: dict[str, Zone] = field(default_factory=dict)
    beside: dict[str, str] = field(default_factory=dict)
    denied: bool = False
    memory_denied: bool = False
    files: dict[str, Path] = field(default_factory=dict)

    def read(self) -> dict[str, int]:
        """µJ of every zone."""
        return {name: int(path.read_text()) for name, path in self.files.items()}

    def of(self, domain: str) -> list[str]:
        """The zones of a domain that are read."""
        return [name for name, zone in self.zones.items() if zone.domain == domain]

    def set_aside(self, names: list[str], reason: str) -> None:
        """Read these no more."""
        for name in names:
            self.beside[name] = reason
            del self.zones[name], self.files[name]


def find(root: Path = POWERCAP, mounts: Path = MOUNTS) -> Rapl:
    """The RAPL zones of this machine, or word of the container that hides them.

    Packages count only if all of them can be read, and so does DRAM: half would be an undercount.
    A package that is there twice brings its DRAM with it.
    """
    found = Rapl()
    folders = sorted(root.glob("intel-rapl:*"))
    if not folders and _masked(mounts):
        found.beside["intel-rapl"] = f"hidden by this container, if the machine has it: {UNMASK}"
    for folder in folders:
        _note(found, folder)
    for name in _mirrored(found, found.of("package")):
        inside = f"{found.files[name].parent.name}:"
        memory = [n for n in found.of("dram") if found.files[n].parent.name.startswith(inside)]
        found.set_aside(memory, "the memory of a package that is there twice")
        found.set_aside([name], "shows the same counter as another package")
    if found.denied:
        found.set_aside(list(found.zones), "not all packages can be read")
    if found.memory_denied:
        found.set_aside(found.of("dram"), "not all memory can be read")
    _set_aside_wrong_memory(found)
    return found


def _masked(mounts: Path) -> bool:
    """Whether something is mounted over the zones."""
    try:
        lines = mounts.read_text(encoding="utf-8").splitlines()
    except OSError:
        return False
    return any(line.split()[1:2] == [BEHIND] for line in lines)


def _set_aside_wrong_memory(found: Rapl) -> None:
    """Take DRAM out where its counters say more than memory can take, or do not move: all of it,
    since a half would be an undercount.
    """
    names = found.of("dram")
    if not names:
        return
    began, before = time.monotonic(), found.read()
    time.sleep(DRAM_LOOK_S)
    seconds, after = time.monotonic() - began, found.read()
    counted = (counted_uj([before[n], after[n]], found.zones[n].range_uj) for n in names)
    watts = sum(counted) / 1e6 / seconds
    gigabytes = psutil.virtual_memory().total / 1e9
    if watts == 0:
        found.set_aside(names, "stands still")
    if watts > PLAUSIBLE_DRAM_W_PER_GB * gigabytes:
        said = f"says {watts:.0f} W for {gigabytes:.0f} GB, which is implausible"
        found.set_aside(names, said)


def _note(found: Rapl, folder: Path) -> None:
    try:
        label = (folder / "name").read_text().strip()
    except OSError:
        return
    domain = label.partition("-")[0]
    name = label if domain != "dram" else f"dram-{folder.name.split(':')[1]}"
    if domain not in ("package", "dram"):
        found.beside[f"{label} ({folder.name})"] = (
            "holds the packages" if domain == "psys" else "is a part of its package"
        )
        return
    try:
        int((folder / "energy_uj").read_text())
        limit = int((folder / "max_energy_range_uj").read_text())
    except (OSError, ValueError):
        found.beside[name] = "cannot be read"
        found.denied |= domain == "package"
        found.memory_denied |= domain == "dram"
        return
    while name in found.zones:
        name += "'"
    found.zones[name] = Zone(domain, limit)
    found.files[name] = folder / "energy_uj"


def _mirrored(found: Rapl, packages: list[str]) -> list[str]:
    """Packages whose counter is an earlier package's: both move, and once at least they are equal.

    A counter may go on between two reads of it, so that mirrors differ in some rounds; two counters
    of their own do not meet at one µJ while they move. Of two that stand still nothing is known.
    """
    rounds = []
    for _ in range(MIRROR_ROUNDS if len(packages) > 1 else 0):
        rounds.append({name: int(found.files[name].read_text()) for name in packages})
        time.sleep(MIRROR_LOOK_S)
    moving = [name for name in packages if len({row[name] for row in rounds}) > 1]
    return [
        name
        for number, name in enumerate(moving)
        if any(row[name] == row[earlier] for row in rounds for earlier in moving[:number])
    ]
