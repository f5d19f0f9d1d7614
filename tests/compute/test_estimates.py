"""What a job is charged for where no counter can be read."""

import pytest

from joulegrid.metering import estimates

CPU = {"device": "cpu"}


def with_cpu(monkeypatch, facts, sockets=1):
    monkeypatch.setattr(estimates, "cpu_facts", lambda: {**facts, "sockets": sockets})


def test_a_job_takes_its_share_of_the_wattages_that_the_study_gives():
    """225 W are those of all 128 CPUs: two of them take 3.5 W, not 225."""
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
    assert (power.full_w, power.method) == (70, "70 W for 16 modules, CodeCarbon's wattage per DIMM")


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
    (AMD, 26, 2, 1, "AMD EPYC", "EPYC 9005"),  # as a cloud's virtual machine has it
    (AMD, 25, 1, 1, "AMD EPYC-Milan Processor", "EPYC 7003"),
    (INTEL, 6, 85, 4, "Intel(R) Xeon(R) Gold 6148 CPU @ 2.40GHz", "Skylake"),
    (INTEL, 6, 85, 7, "Intel(R) Xeon(R) Platinum 8259CL CPU @ 2.50GHz", "Cascade Lake"),
    (INTEL, 6, 106, 6, "Intel Xeon Processor (Icelake)", "Ice Lake"),
]


@pytest.mark.parametrize(("vendor", "family", "model", "stepping", "name", "server"), SHARED_NUMBERS)
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
