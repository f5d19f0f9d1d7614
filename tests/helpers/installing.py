"""Programs from Debian packages that slow tests need."""

import os
import shutil
import subprocess

import pytest


def debian(program: str, package: str) -> None:
    """Install `package` if `program` is not there; skip the test, saying why, where that is not
    possible.
    """
    if shutil.which(program):
        return
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        pytest.skip(f"{program} is not installed, and installing {package} needs root and apt-get")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    subprocess.run(["apt-get", "update", "-qq"], env=environment, check=True, capture_output=True)
    subprocess.run(
        ["apt-get", "install", "-y", "-qq", package],
        env=environment,
        check=True,
        capture_output=True,
    )
