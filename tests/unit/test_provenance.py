"""What a record says of the machine beside its counters."""

import os

import pytest

from helpers.fake_nvml import SilentNvml
from joulegrid.jobs import provenance


def test_settings_of_a_host_come_from_where_linux_keeps_them(tmp_path, monkeypatch):
    governor = tmp_path / "cpu0/cpufreq/scaling_governor"
    governor.parent.mkdir(parents=True)
    governor.write_text("performance\n")
    monkeypatch.setattr(provenance, "CPU", tmp_path)
    monkeypatch.setattr(os.path, "exists", lambda _: False)
    for name in provenance.CONTAINERS:
        monkeypatch.delenv(name, raising=False)
    found = provenance.host_settings()
    assert (found["governor"], found["container"]) == ("performance", None)
    assert found["cgroup"].startswith("/")
    assert found["sockets"] is None or found["sockets"] >= 1
    monkeypatch.setattr(os.path, "exists", lambda path: path == "/.dockerenv")
    assert provenance.host_settings()["container"] == "docker or podman"
    monkeypatch.setenv("APPTAINER_CONTAINER", "/images/llm.sif")
    assert provenance.host_settings()["container"] == "/images/llm.sif"
    governor.unlink()
    assert provenance.host_settings()["governor"] is None


@pytest.mark.parametrize(
    ("listed", "group"),
    [
        ("0::/user.slice/a:b\n", "/user.slice/a:b"),
        ("4:memory:/m\n3:cpu,cpuacct:/docker/5\n1:name=systemd:/s\n", "/docker/5"),
        ("1:cpu:/of/v1\n0::/of/v2\n", "/of/v2"),
        ("", None),
    ],
    ids=["version 2", "version 1", "both", "none"],
)
def test_the_group_of_a_job_is_one_path(monkeypatch, listed, group):
    monkeypatch.setattr(provenance, "_text", lambda path: listed if "cgroup" in str(path) else None)
    assert provenance.host_settings()["cgroup"] == group


def test_settings_of_a_board_are_said_as_far_as_it_answers():
    class Board(SilentNvml):
        """A board without ECC and MIG."""

        def nvmlDeviceGetPciInfo(self, handle):
            return type("Pci", (), {"busId": "00000000:65:00.0"})()

        def nvmlSystemGetDriverVersion(self):
            return "580.65"

        def nvmlDeviceGetEnforcedPowerLimit(self, handle):
            return 165_000

        def nvmlDeviceGetPowerManagementDefaultLimit(self, handle):
            return 200_000

        def nvmlDeviceGetPersistenceMode(self, handle):
            return 1

    found = provenance.gpu_settings(Board(), 0)
    assert found["pci"] == "00000000:65:00.0"
    assert (found["power_limit_w"], found["default_power_limit_w"]) == (165, 200)
    assert (found["persistence"], found["ecc"], found["mig"]) == (1, None, None)
