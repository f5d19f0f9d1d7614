"""What counts as a change of code: definitions that compute, and nothing that carries, describes or
talks.
"""

import ast

import pytest

from joulegrid.errors import InputError
from joulegrid.study.code import PLUMBING, Source, is_plumbing
from joulegrid.study.conclusions import CALLS as STEPS
from joulegrid.study.methods import METHODS, roots
from joulegrid.study.specs import CALLS

MAIN = '''
"""A module."""
import numpy
from joulegrid import helper
from joulegrid.jobs.run import say

FACTOR = 2
UNUSED = 3


class Engine:
    """An engine."""

    size: int = 4

    def run(self, x: int) -> int:
        return helper.value(x) * self.size

    def describe(self):
        return {"size": self.size}


def main(x: int) -> int:
    """Do it."""
    # why
    if x < 0:
        raise ValueError(f"{x} is negative")
    say(f"working on {x}")
    return Engine().run(x) * FACTOR


def other():
    return UNUSED
'''
HELPER = """
import numpy
import scipy


def value(x):
    return numpy.add(x, 1)


def far(x):
    return scipy.sin(x)
"""


@pytest.fixture
def used(tmp_path):
    """A function that writes a little project and gives what `main` uses."""
    package = tmp_path / "joulegrid"
    (package / "jobs").mkdir(parents=True)

    def of(main=MAIN, helper=HELPER, run="def say(text):\n    print(text)\n"):
        (package / "__init__.py").write_text("")
        (package / "main.py").write_text(main)
        (package / "helper.py").write_text(helper)
        (package / "jobs/__init__.py").write_text("")
        (package / "jobs/run.py").write_text(run)
        return Source(tmp_path).used_by(["joulegrid.main:main"])

    return of


def test_definitions_are_followed_through_modules(used):
    found = used()
    assert set(found.definitions) == {
        "joulegrid.main:main",
        "joulegrid.main:Engine",
        "joulegrid.main:FACTOR",
        "joulegrid.helper:value",
    }
    assert found.imports == {"numpy"}


SAME = {
    "comment": {"main": MAIN.replace("# why", "# therefore")},
    "docstring": {"main": MAIN.replace("Do it.", "Do it well.")},
    "no docstring": {"main": MAIN.replace('    """Do it."""\n', "")},
    "layout": {
        "main": MAIN.replace(
            "Engine().run(x) * FACTOR", "(\n        Engine().run(x)\n        * FACTOR\n    )"
        )
    },
    "annotations": {
        "main": MAIN.replace("main(x: int) -> int", "main(x)").replace("size: int", "size: float")
    },
    "text of an error": {"main": MAIN.replace("is negative", "is below zero")},
    "progress": {"main": MAIN.replace("working on", "at")},
    "another definition": {"main": MAIN.replace("UNUSED = 3", "UNUSED = 4")},
    "a new definition": {"main": MAIN + "\n\ndef new():\n    return numpy.pi\n"},
    "facts": {"main": MAIN.replace('{"size": self.size}', '{"size": self.size, "more": 1}')},
    "plumbing": {"run": "import rich\n\n\ndef say(text):\n    rich.print(text)\n"},
    "an unused helper": {"helper": HELPER.replace("scipy.sin", "scipy.cos")},
}
OTHER = {
    "number": {"main": MAIN.replace("FACTOR = 2", "FACTOR = 3")},
    "condition": {"main": MAIN.replace("x < 0", "x <= 0")},
    "method": {"main": MAIN.replace("* self.size", "+ self.size")},
    "field": {"main": MAIN.replace("int = 4", "int = 5")},
    "error": {"main": MAIN.replace("raise ValueError", "raise KeyError")},
    "helper": {"helper": HELPER.replace("x, 1", "x, 2")},
}


@pytest.mark.parametrize("name", SAME)
def test_no_change(used, name):
    before = used()
    assert used(**SAME[name]) == before


@pytest.mark.parametrize("name", OTHER)
def test_change(used, name):
    before = used()
    assert used(**OTHER[name]).definitions != before.definitions


def test_what_importing_does_counts(used):
    with_effect = used(helper="import os\n\nos.environ.setdefault('A', 'b')\n" + HELPER)
    assert "joulegrid.helper:(import)" in with_effect.definitions
    for_its_version = used(helper="import bitsandbytes\n" + HELPER)
    assert for_its_version.imports == {"numpy", "bitsandbytes"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"main": MAIN.replace("helper.value", "helper.valeu")},
            r"mentions joulegrid\.helper\.valeu, which does not",
        ),
        ({"main": MAIN.replace("import helper", "import *")}, "import names, absolutely"),
        ({"main": MAIN.replace("def main", "def Main")}, r"joulegrid\.main has no main"),
        ({"main": MAIN + "def broken(:\n"}, r"main\.py:\d+: "),
    ],
)
def test_what_cannot_be_followed_is_an_error(used, change, message):
    with pytest.raises(InputError, match=message):
        used(**change)


def test_a_module_that_is_no_file_is_an_error():
    with pytest.raises(InputError, match=r"joulegrid has no module joulegrid\.quality\.no_such"):
        Source().used_by(["joulegrid.quality.no_such:evaluate"])


def all_roots():
    """Everything that any job calls."""
    starts = [root for calls in (*CALLS.values(), *STEPS.values()) for root in calls]
    for axis, known in METHODS.items():
        for name in known:
            if axis in ("pruning", "quantization") and known[name].weights.name in ("MADE",):
                starts += roots(axis, name)
            if axis in ("engine", "workload", "quality"):
                starts += roots(axis, name)
            if axis == "quantization":
                starts += roots("loading", name)
    return starts


class Mutate(ast.NodeTransformer):
    """Changes the first number or comparison of a definition that decides something."""

    def __init__(self):
        self.done = False

    def visit_FunctionDef(self, node):
        node.body = [
            self.visit(statement) for statement in node.body
        ]  # no annotations, no defaults
        return node

    visit_AsyncFunctionDef = visit_FunctionDef

    def visit_AnnAssign(self, node):
        node.value = self.visit(node.value) if node.value else None
        return node

    def visit_Expr(self, node):
        return node  # docstrings and what is said

    def visit_Raise(self, node):
        return node

    def visit_Constant(self, node):
        if not self.done and isinstance(node.value, int | float):
            self.done = True
            return ast.copy_location(
                ast.Constant(not node.value if isinstance(node.value, bool) else node.value + 1),
                node,
            )
        return node


def test_a_mutation_of_any_definition_that_is_used_is_seen(tmp_path):
    """In every module of every job's code, a number that is changed in a definition changes its
    digest.
    """
    import shutil

    from joulegrid.study.code import SCRIPTS

    shutil.copytree(
        SCRIPTS / "joulegrid", tmp_path / "joulegrid", ignore=shutil.ignore_patterns("__pycache__")
    )
    before = Source(tmp_path).used_by(all_roots()).definitions
    modules, mutated = {key.split(":")[0] for key in before}, 0
    for name in sorted(modules):
        base = tmp_path.joinpath(*name.split("."))
        path = base / "__init__.py" if base.is_dir() else base.with_suffix(".py")
        text = path.read_text()
        tree = ast.parse(text)
        for position, statement in enumerate(tree.body):
            key = f"{name}:{getattr(statement, 'name', '')}"
            change = Mutate()
            if key not in before or not isinstance(statement, ast.FunctionDef):
                continue
            tree.body[position] = change.visit(statement)
            if change.done:
                break
        if not change.done:
            continue
        mutated += 1
        path.write_text(ast.unparse(tree))
        after = Source(tmp_path).used_by(all_roots()).definitions
        path.write_text(text)
        assert {k for k in before if before[k] != after[k]} == {key}, key
    assert mutated >= len(modules) / 2, "most modules have a number to change"


def test_plumbing_is_named_where_it_is():
    source = Source()
    assert all(source.module(room) is not None for room in PLUMBING)
    assert is_plumbing("joulegrid.jobs.run")
    assert not is_plumbing("joulegrid.metering.meter")
