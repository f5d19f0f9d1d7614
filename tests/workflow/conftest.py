"""A complete study, made once; tests get their own copy of it."""

import copy
import shutil

import house
import pytest
from conftest import STUDY


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """A house in which the small study is complete."""
    place = house.copy_project(tmp_path_factory.mktemp("workflow") / "house")
    house.put_stand_in(place)
    shutil.copytree(house.ROOT / "config/schemas", place / "config/second-model")
    data = copy.deepcopy(STUDY)
    data["site"] = "config/sites/test.yaml"
    site = "hardware: {here: {mem_mb: 1000}, there: {slurm_partition: a, runtime: 10}}\n"
    (place / "config/sites/test.yaml").write_text(site)
    house.write_study(place, data)
    house.snakemake(place, "--cores", "4")
    return place, data


@pytest.fixture
def own(finished, tmp_path):
    """A copy of the complete house, times preserved, and its study."""
    place, data = finished
    mine = tmp_path / "house"
    shutil.copytree(place, mine, symlinks=True)
    return mine, copy.deepcopy(data)
