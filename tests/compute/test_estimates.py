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
