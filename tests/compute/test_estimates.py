"""What a job is charged for where no counter can be read."""

import pytest

from joulegrid.metering import estimates, host, tables
from joulegrid.metering.meter import Meter
from joulegrid.metering.replay import Recording
from joulegrid.metering.samples import Equipment, Host, Sample

CPU = {"device": "cpu"}


def with_cpu(monkeypatch, facts, sockets=1):
    monkeypatch.setattr(estimates, "cpu_facts", lambda: {**facts, "sockets": sockets})
    monkeypatch.setattr(estimates, "cpu_quota", lambda: None)


def test_a_job_takes_its_share_of_the_wattages_that_the_study_gives(monkeypatch):
    """225 W are those of all 128 CPUs: two of them take 3.5 W, not 225."""
    with_cpu(monkeypatch, {})
    power = estimates.cpu_power({"cpu_power_w": 225}, 2, 128)
    assert (power.idle_w, power.full_w) == pytest.approx((0.12 * 225 / 64, 225 / 64))
    assert power.method.startswith("225 W at full load, given by the study")
    assert "3.52 W of it are this job's" in power.method
    modules = estimates.ram_power({"ram_modules": 16}, 2 / 128)
    assert modules.full_w == pytest.approx(70 / 64)
    assert "1.09 W of it are this job's" in modules.method
    assert estimates.ram_power({"ram_power_w": 64.0}, 0.5).full_w == 32


def test_a_job_with_the_whole_machine_takes_all():
    power = estimates.ram_power({"ram_modules": 16}, 1.0)
    assert (power.full_w, power.method) == (
        70,
        "70 W for 16 modules, CodeCarbon's wattage per DIMM",
    )


# ---------------------------------------------------------------- which CPU it is
AMD, INTEL = "AuthenticAMD", "GenuineIntel"
SHARED_NUMBERS = [
    # desktop and workstation CPUs with family, model and stepping of server ones
    (AMD, 23, 1, 1, "AMD Ryzen 7 1800X Eight-Core Processor", None),
    (AMD, 23, 8, 2, "AMD Ryzen 7 2700X Eight-Core Processor", None),
    (AMD, 23, 17, 0, "AMD Ryzen 5 2500U with Radeon Vega Mobile Gfx", None),
    (AMD, 23, 24, 1, "AMD Ryzen 5 3500U with Radeon Vega Mobile Gfx", None),
    (AMD, 23, 49, 0, "AMD Ryzen Threadripper 3990X 64-Core Processor", None),
    (INTEL, 6, 85, 4, "Intel(R) Core(TM) i9-7980XE CPU @ 2.60GHz", None),
    (INTEL, 6, 63, 2, "Intel(R) Core(TM) i7-5960X CPU @ 3.00GHz", None),
    (INTEL, 6, 85, 4, "Intel(R) Xeon(R) W-2195 CPU @ 2.30GHz", None),
    (INTEL, 6, 143, 8, "Intel(R) Xeon(R) w9-3495X", None),
    (AMD, 23, 49, 0, "AMD EPYC 7742 64-Core Processor", "EPYC 7002"),
    (AMD, 26, 2, 1, "AMD EPYC", "Zen 5 "),  # as a cloud's virtual machine has it
    (AMD, 25, 1, 1, "AMD EPYC-Milan Processor", "EPYC 7003"),
    (INTEL, 6, 85, 4, "Intel(R) Xeon(R) Gold 6148 CPU @ 2.40GHz", "Skylake"),
    (INTEL, 6, 85, 7, "Intel(R) Xeon(R) Platinum 8259CL CPU @ 2.50GHz", "Cascade Lake"),
    (INTEL, 6, 106, 6, "Intel Xeon Processor (Icelake)", "Ice Lake"),
]


@pytest.mark.parametrize(
    ("vendor", "family", "model", "stepping", "name", "server"), SHARED_NUMBERS
)
def test_a_desktop_is_no_server(monkeypatch, vendor, family, model, stepping, name, server):
    facts = {"vendor_id": vendor, "cpu family": f"{family}", "model": f"{model}"}
    with_cpu(monkeypatch, {**facts, "stepping": f"{stepping}", "model name": name})
    power = estimates.cpu_power(CPU, 8, 16)
    assert power.holds_memory == (server is not None)
    if server is not None:
        assert server in power.method
    elif power.basis == "estimated":
        assert "thermal design power" in power.method


def test_a_workstation_takes_its_design_power(monkeypatch):
    """A Threadripper 3990X is designed for 280 W (AMD)."""
    facts = {"vendor_id": AMD, "cpu family": "23", "model": "49", "stepping": "0"}
    name = "AMD Ryzen Threadripper 3990X 64-Core Processor"
    with_cpu(monkeypatch, {**facts, "model name": name})
    assert estimates.cpu_power(CPU, 128, 128).full_w == pytest.approx(1.02 * 280)


# ---------------------------------------------------------------- how sure an estimate is
MILAN = {
    "model name": "AMD EPYC 7763 64-Core Processor",
    "vendor_id": AMD,
    "cpu family": "25",
    "model": "1",
    "stepping": "1",
}


def test_a_servers_band_is_that_of_the_results_it_comes_from(monkeypatch):
    """Of 28 servers with Zen 3, 80 % take 0.327 to 0.621 W per thread idle, 1.772 to 2.221 full."""
    with_cpu(monkeypatch, MILAN)
    text = estimates.cpu_power(CPU, 100, 128).method
    assert "mean of 28 SPECpower results, of which 80% say 32.7 to 62.1 W idle" in text
    assert "177 to 222 W full" in text


@pytest.mark.parametrize(
    ("facts", "threads", "said"),
    [
        ({"siblings": "128", "cpu cores": "64"}, 1, "for 64 CPUs: share"),
        ({"siblings": "64", "cpu cores": "64"}, 2, "for 64 CPUs (SMT is off: a whole core each)"),
        ({"siblings": "2", "cpu cores": "2", "flags": "fpu hypervisor"}, 1, "a virtual machine's"),
        ({}, 1, "for 64 CPUs: share"),
    ],
    ids=["on", "off", "virtual", "unknown"],
)
def test_a_core_without_smt_takes_what_its_threads_would(monkeypatch, facts, threads, said):
    """A server of 64 cores takes as much, whether the system counts 64 CPUs or 128."""
    with_cpu(monkeypatch, {**MILAN, **facts})
    power = estimates.cpu_power(CPU, 64, 64)
    assert (power.idle_w, power.full_w) == pytest.approx(
        (64 * threads * 0.456, 64 * threads * 1.957)
    )
    assert said in power.method


def test_a_processor_without_smt_has_nothing_to_turn_off(monkeypatch):
    """Sierra Forest: SPECpower's watts per thread are per core."""
    facts = {"vendor_id": INTEL, "cpu family": "6", "model": "175", "stepping": "3"}
    cores = {"siblings": "144", "cpu cores": "144", "model name": "Intel(R) Xeon(R) 6780E"}
    with_cpu(monkeypatch, {**facts, **cores})
    assert estimates.cpu_power(CPU, 144, 144).full_w == pytest.approx(144 * 2.492)


@pytest.mark.parametrize("server", tables.SERVERS, ids=lambda server: server.generation)
def test_means_lie_in_their_bands(server):
    for watts in (server.idle_w, server.full_w):
        assert watts.low < watts.mean < watts.high


def test_zen_4_and_zen_5_are_told_apart(monkeypatch):
    """9654: 0.34 and 1.88 W per thread (20 results). 9845 is a Zen 5c and none of them."""
    genoa = {**MILAN, "model name": "AMD EPYC 9654 96-Core Processor", "model": "17"}
    with_cpu(monkeypatch, genoa)
    power = estimates.cpu_power(CPU, 192, 192)
    assert (power.idle_w / 192, power.full_w / 192) == pytest.approx((0.34, 1.88), rel=0.01)
    turin = {**MILAN, "model name": "AMD EPYC 9845", "cpu family": "26", "model": "17"}
    with_cpu(monkeypatch, turin)
    assert "Zen 5c (EPYC 9845, 9965), mean of 33" in estimates.cpu_power(CPU, 1, 320).method


@pytest.mark.parametrize(
    ("hardware", "facts"),
    [({"cpu_power_w": 50}, MILAN), ({}, {"model name": "Martian"})],
    ids=["the study's", "a guess"],
)
def test_no_band_is_claimed_where_none_is_known(monkeypatch, hardware, facts):
    with_cpu(monkeypatch, facts)
    text = estimates.cpu_power({**CPU, **hardware}, 2, 2).method
    assert "±" not in text
    assert "80%" not in text


def test_sources_differ_on_memory_and_that_is_said():
    assert "sources differ from 0.04 to 0.6 W/GB" in estimates.ram_power(CPU, 0.5).method


def test_design_power_has_no_known_band(monkeypatch):
    with_cpu(monkeypatch, {"model name": "12th Gen Intel(R) Core(TM) i7-12700H"})
    assert estimates.cpu_power(CPU, 10, 20).method.endswith("how far off is not known")


# ---------------------------------------------------------------- quotas
def groups(folder, listed, files):
    """Folders like /proc and /sys/fs/cgroup of a process in the groups `listed`; `files` by
    path.
    """
    (folder / "proc/self").mkdir(parents=True)
    (folder / "proc/self/cgroup").write_text(listed)
    for path, text in files.items():
        file = folder / "cgroup" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return folder / "proc", folder / "cgroup"


@pytest.mark.parametrize(
    ("listed", "files", "cpus"),
    [
        # docker run --cpus 2.5: the container's own group is the root
        ("0::/\n", {"cpu.max": "250000 100000\n"}, 2.5),
        ("0::/\n", {"cpu.max": "max 100000\n"}, None),
        ("0::/\n", {}, None),  # the root of a machine has no such file
        # a slice above limits more than the unit
        ("0::/a/b\n", {"a/cpu.max": "150000 100000", "a/b/cpu.max": "400000 100000"}, 1.5),
        # version 1, as a container sees it: the path is the machine's, the tree the container's
        (
            "3:memory:/docker/x\n2:cpu,cpuacct:/docker/x\n",
            {"cpu,cpuacct/cpu.cfs_quota_us": "50000", "cpu,cpuacct/cpu.cfs_period_us": "100000"},
            0.5,
        ),
        ("1:cpu:/\n", {"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, None),
    ],
)
def test_a_quota_is_read(tmp_path, listed, files, cpus):
    assert host.cpu_quota(*groups(tmp_path, listed, files)) == cpus


@pytest.mark.parametrize(
    ("listed", "files", "seconds"),
    [
        ("0::/\n", {"cpu.stat": "usage_usec 9\nthrottled_usec 2500000\n"}, 2.5),
        ("0::/\n", {"cpu.stat": "usage_usec 9\n"}, 0),  # the root of a machine is held back by none
        ("0::/a/b\n", {"a/cpu.stat": "throttled_usec 2000000", "a/b/cpu.stat": "nr_periods 1"}, 2),
        # of two limits each may grow while the other one stands
        (
            "0::/a/b\n",
            {"a/cpu.stat": "throttled_usec 2000000", "a/b/cpu.stat": "throttled_usec 500000"},
            2.5,
        ),
        ("2:cpu,cpuacct:/docker/x\n", {"cpu,cpuacct/cpu.stat": "throttled_time 3000000000"}, 3),
        ("0::/\n", {}, 0),
    ],
)
def test_what_a_limit_held_back_is_read_where_the_limit_may_be(tmp_path, listed, files, seconds):
    assert host.throttled_s(*groups(tmp_path, listed, files)) == seconds


def test_a_job_is_charged_for_the_cpus_that_its_quota_lets_it_use(monkeypatch):
    """With docker run --cpus 2 on 128 threads, on all of which the job may run, two at a time: what
    two of them take. Idle it was charged for 58 W.
    """
    with_cpu(monkeypatch, MILAN)
    pinned = estimates.cpu_power(CPU, 2, 128)
    monkeypatch.setattr(estimates, "cpu_quota", lambda: 2.0)
    power = estimates.cpu_power(CPU, 128, 128)
    assert power.method.startswith(pinned.method)
    assert power.method.endswith("; a quota of 2 CPUs, of 128")
    for used in (0.0, 1.0, 2.0):  # CPU seconds per second
        assert power.energy_j(used / 128, 10) == pytest.approx(pinned.energy_j(used / 2, 10))
    assert power.energy_j(0, 1) == pytest.approx(0.912, rel=0.01)


def test_under_a_quota_a_job_is_charged_for_its_own_work(monkeypatch):
    """A container with 2 CPUs' time on 64: 0.2 CPUs are its own, 1.5 are others' work."""
    monkeypatch.setattr(estimates, "cpu_quota", lambda: 2.0)
    stream = [Sample(0.0, Host(0.0, 0.0, 0.0)), Sample(10.0, Host(17.0, 17.0, 2.0))]
    hardware = {"device": "cpu", "cpu_power_w": 640.0, "ram_power_w": 0.0}
    meter = Meter("machine", hardware, Recording(Equipment(64, 64), stream))
    idle_w, full_w = 0.12 * 20, 20
    expected = 10 * (idle_w + (full_w - idle_w) * 0.1)
    assert meter.reading(stream, {}).energy_j["cpu"] == pytest.approx(expected)


def test_a_quota_of_more_than_the_jobs_cpus_changes_nothing(monkeypatch):
    with_cpu(monkeypatch, MILAN)
    pinned = estimates.cpu_power(CPU, 4, 128)
    monkeypatch.setattr(estimates, "cpu_quota", lambda: 8.0)
    assert estimates.cpu_power(CPU, 4, 128) == pinned


def test_the_studys_own_wattage_is_shared_by_the_quota_too(monkeypatch):
    monkeypatch.setattr(estimates, "cpu_quota", lambda: 2.0)
    assert estimates.cpu_power({"cpu_power_w": 128.0}, 128, 128).full_w == 2


def test_memory_is_charged_by_the_quota_as_the_cpu_is(monkeypatch):
    """A container with a quota of 2 CPUs on all 128: it was charged for all of the memory."""
    with_cpu(monkeypatch, {"model name": "Martian"})
    monkeypatch.setattr(estimates, "cpu_quota", lambda: 2.0)
    idle = Host(busy_s=0.0, node_busy_s=0.0, own_s=0.0)
    stream = [Sample(0.0, idle), Sample(10.0, idle)]
    hardware = {"device": "cpu", "ram_power_w": 64.0}
    meter = Meter("machine", hardware, Recording(Equipment(128, 128), stream))
    assert meter.reading(stream, {}).energy_j["ram"] == pytest.approx(10 * 64 * 2 / 128)
