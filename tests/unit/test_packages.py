"""Which locked packages count: those that a computation imports and what they compute with."""

import pytest

from joulegrid.errors import InputError
from joulegrid.records import ROOT
from joulegrid.study import packages

LOCK = """
[[package]]
name = "numpy"
version = "{numpy}"
dependencies = [{{ name = "libblas" }}, {{ name = "certifi" }}]

[[package]]
name = "libblas"
version = "{libblas}"

[[package]]
name = "certifi"
version = "{certifi}"

[[package]]
name = "other"
version = "{other}"
"""


@pytest.fixture
def computing(tmp_path):
    """A function that writes a lock and gives what an import of numpy computes with."""

    def of(imports=("numpy",), **versions):
        path = tmp_path / f"{len(list(tmp_path.iterdir()))}.lock"
        path.write_text(
            LOCK.format(**{"numpy": "1", "libblas": "1", "certifi": "1", "other": "1", **versions})
        )
        return packages.computing(path, frozenset(imports))

    return of


def test_an_import_and_what_it_computes_with_count(computing):
    assert computing() == {"numpy": "1", "libblas": "1"}
    assert computing(certifi="2", other="2") == computing()
    assert computing(libblas="2") != computing()
    assert computing(["certifi"]) == {"certifi": "1"}, "what is imported counts, whatever it is"


def test_an_import_that_is_not_locked_is_an_error(computing):
    with pytest.raises(InputError, match="imports 'requests', but 'requests' is not locked"):
        computing(["requests"])


def test_of_several_distributions_with_the_same_module_the_locked_one_counts(
    computing, monkeypatch
):
    monkeypatch.setitem(packages.DISTRIBUTIONS, "blas", ("absent", "libblas"))
    assert computing(["blas"]) == {"libblas": "1"}
    monkeypatch.setitem(packages.DISTRIBUTIONS, "blas", ("absent", "gone"))
    with pytest.raises(InputError, match="imports 'blas', but 'absent' or 'gone' is not locked"):
        computing(["blas"])


def test_carriers_are_packages_that_are_locked_somewhere():
    """A name that no lock has is a misspelling."""
    locked = {
        name
        for lock in (ROOT / "uv.lock", *ROOT.glob("envs/*/uv.lock"))
        for name in packages._table(lock)
    }
    assert packages.CARRIERS - locked == set()
