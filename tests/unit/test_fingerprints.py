"""Comments, docstrings and layout are no change; logic in the script or in what it imports is; so are the packages."""

import pytest

from joulegrid.records import InputError
from joulegrid.study import fingerprints

SCRIPT = '''
"""A script."""
from joulegrid import helper


def main():
    """Do it."""
    return helper.value(2)
'''
HELPER = "import numpy\n\n\ndef value(x):\n    return numpy.add(x, 1)\n"
LOCK = """
[[package]]
name = "numpy"
version = "{numpy}"
dependencies = [{{ name = "libblas" }}]

[[package]]
name = "libblas"
version = "{libblas}"

[[package]]
name = "other"
version = "{other}"
"""


@pytest.fixture
def code(tmp_path, monkeypatch):
    """A function that writes a little project and gives its fingerprint."""
    monkeypatch.setattr(fingerprints, "ROOT", tmp_path)
    monkeypatch.setattr(fingerprints, "SCRIPTS", tmp_path / "scripts")
    package = tmp_path / "scripts" / "joulegrid"
    package.mkdir(parents=True)

    def of(script=SCRIPT, helper=HELPER, unused="", numpy="1", libblas="1", other="1"):
        (package / "__init__.py").write_text("")
        (package / "helper.py").write_text(helper)
        (package / "unused.py").write_text(unused)
        (tmp_path / "scripts" / "run.py").write_text(script)
        (tmp_path / "uv.lock").write_text(LOCK.format(numpy=numpy, libblas=libblas, other=other))
        fingerprints._cache.clear()
        fingerprints._lock_table.cache_clear()
        fingerprints.locked_versions.cache_clear()
        return fingerprints.fingerprint("run.py")

    return of


@pytest.mark.parametrize(
    "same",
    [
        {"script": SCRIPT.replace("return", "# why\n    return")},
        {"script": SCRIPT.replace("Do it.", "Do it well.")},
        {"script": SCRIPT.replace('"""Do it."""\n    ', "")},
        {"script": SCRIPT.replace("value(2)", "value(\n        2\n    )")},
        {"unused": "def anything():\n    return 1\n"},
        {"other": "2"},
    ],
    ids=["comment", "docstring", "no docstring", "layout", "module not imported", "package not imported"],
)
def test_no_change(code, same):
    assert code(**same) == code()


@pytest.mark.parametrize(
    ("edit", "what"),
    [
        ({"script": SCRIPT.replace("value(2)", "value(3)")}, "code"),
        ({"helper": HELPER.replace("x, 1", "x, 2")}, "code"),
        ({"numpy": "2"}, "packages"),
        ({"libblas": "2"}, "packages"),
    ],
    ids=["script", "helper", "package", "package behind the package"],
)
def test_change(code, edit, what):
    before, after = code(), code(**edit)
    assert {key for key in before if before[key] != after[key]} == {what}


def test_an_import_that_is_not_locked_is_an_error(code):
    with pytest.raises(InputError, match="'requests' is not locked"):
        code(helper="import requests\n" + HELPER)


def test_of_several_distributions_with_the_same_module_the_locked_one_counts(code, monkeypatch):
    monkeypatch.setitem(fingerprints.DISTRIBUTIONS, "blas", ("absent", "libblas"))
    helper = "import blas\n"
    assert code(helper=helper, libblas="2") != code(helper=helper) == code(helper=helper, numpy="2")
    monkeypatch.setitem(fingerprints.DISTRIBUTIONS, "blas", ("absent", "gone"))
    with pytest.raises(InputError, match="imports 'blas', but 'absent' or 'gone' is not locked"):
        code(helper=helper)


def test_llamacpps_modules_are_locked_in_its_environment():
    modules = {"quantize_weights.py": "joulegrid.compression.gguf", "measure_energy.py": "joulegrid.engines.llamacpp"}
    for script, module in modules.items():
        assert fingerprints.fingerprint(script, (module,), "envs/llamacpp")["packages"]


def test_every_script_has_a_fingerprint():
    """All that the real scripts import is locked where they run."""
    for path in sorted(fingerprints.SCRIPTS.glob("*.py")):
        llm = path.stem in (
            "fetch_model",
            "prune_weights",
            "quantize_weights",
            "measure_energy",
            "evaluate_quality",
        )
        assert fingerprints.fingerprint(path.name, environment="envs/llm" if llm else ".")


def test_scripts_of_the_login_node_never_import_torch_and_those_of_nodes_never_snakemake():
    for path in sorted(fingerprints.SCRIPTS.glob("*.py")):
        names = {n for f in fingerprints.source_files(path) for n in fingerprints._parsed(f).external}
        assert not {"torch", "snakemake"} <= names
        if path.stem in (
            "merge_measurements",
            "analyse_study",
            "draw_figures",
            "write_report",
            "refer_checkpoint",
        ):
            assert not names & {"torch", "transformers"}, path
        assert "snakemake" not in names
