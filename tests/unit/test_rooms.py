"""The rooms stand where the map says; the table of methods, the schema and the modules agree."""

import ast
import re

import pytest

from conftest import ROOT
from joulegrid.jobs.run import STEPS
from joulegrid.study.code import SCRIPTS, Source
from joulegrid.study.conclusions import CALLS
from joulegrid.study.methods import ARENA, GENERATION, METHODS, ROOMS, Weights, module_name
from joulegrid.study.validation import schema_of

GROUND = {
    "errors",
    "units",
    "records",
    "texts.files",
    "texts.guided",
    "texts.questions",
    "texts.rows",
    "texts.templates",
    "texts.traces",
    "models.content",
    "models.context",
    "study.points",
    "jobs",
    "judging.arena",
    "metering.estimates",
    "metering.tables",
}
LOGIN = {"study", "analysis", "planning", "report"}
COMPUTE = {
    "texts",
    "models",
    "compression",
    "training",
    "engines",
    "workloads",
    "metering",
    "quality",
    "judging",
}
# room -> what it may import besides itself and the ground
ARROWS = {
    **{room: set() for room in ("errors", "units", "records")},
    "jobs": set(),
    "study": set(),
    "analysis": {"study"},
    "planning": {"study", "analysis"},
    "report": {"study", "analysis", "planning"},
    **dict.fromkeys(COMPUTE, COMPUTE),
}
NO_TORCH = LOGIN | {"errors", "units", "records", "jobs"}
HEAVY = {"torch", "transformers", "bitsandbytes", "gptqmodel", "peft"}


def modules():
    """(name below joulegrid, path) of every module."""
    for path in sorted((SCRIPTS / "joulegrid").rglob("*.py")):
        parts = path.relative_to(SCRIPTS / "joulegrid").with_suffix("").parts
        yield ".".join(part for part in parts if part != "__init__"), path


def imports(path):
    """Every module that a file imports, at its top or inside."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (item.name for item in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{item.name}" for item in node.names)


@pytest.mark.parametrize(
    ("name", "path"), [m for m in modules() if m[0]], ids=[m[0] for m in modules() if m[0]]
)
def test_arrows_between_rooms(name, path):
    room = name.split(".")[0]
    for found in imports(path):
        root = found.split(".")[0]
        assert root != "snakemake", "the library knows nothing of the workflow"
        if room in NO_TORCH:
            assert root not in HEAVY, f"{name} runs on the login node"
        if root == "joulegrid" and "." in found:
            there = found.removeprefix("joulegrid.")
            on_ground = any(there == g or there.startswith(f"{g}.") for g in GROUND)
            allowed = there.split(".")[0] in ARROWS[room] | {room, "__version__"}
            assert on_ground or allowed, f"{name} imports {there}"


def test_login_node_scripts_start_without_torch():
    for script in (
        "select_trained",
        "merge_measurements",
        "analyse_study",
        "draw_figures",
        "write_report",
        "show_answer",
        "accept_records",
        "combine_studies",
        "plan_study",
    ):
        names = {found.split(".")[0] for found in imports(SCRIPTS / f"{script}.py")}
        assert not names & HEAVY


def test_the_map_names_every_room():
    text = (SCRIPTS / "joulegrid/__init__.py").read_text()
    for room in {name.split(".")[0] for name, _ in modules() if name}:
        assert re.search(rf"^ +{room}\b", text, re.MULTILINE), f"{room} is not on the map"


def test_modules_are_of_a_size_to_be_read():
    long = {name: len(path.read_text().splitlines()) for name, path in modules()}
    assert {name: n for name, n in long.items() if n > 300} == {}


# Rooms whose methods are those of another one's axis
TABLE = {"loading": "quantization", GENERATION: "quality", ARENA: "quality"}


def schema_methods(axis):
    definition = schema_of("study")["$defs"][axis]
    return set(definition["properties"]["method"]["enum"])


@pytest.mark.parametrize(
    "axis", ["training", "pruning", "quantization", "engine", "workload", "quality"]
)
def test_table_and_schema_name_the_same_methods(axis):
    assert schema_methods(axis) == set(METHODS[axis])


def test_table_and_schema_name_the_same_metrics_and_keys():
    keys = schema_of("study")["$defs"]["quality.generation"]["properties"]
    assert set(keys["metrics"]["items"]["enum"]) == set(METHODS["metric"])
    assert {key for known in METHODS["metric"].values() for key in known.asks} <= set(keys)


def test_every_method_has_its_module_and_every_module_its_method():
    for axis, (room, functions) in ROOMS.items():
        named = {}
        for name, known in METHODS[TABLE.get(axis, axis)].items():
            own = name if name in TABLE else "quality"
            if TABLE.get(axis, axis) == "quality" and axis != own:
                continue
            if axis in ("pruning", "quantization") and known.weights != Weights.MADE:
                continue
            named[module_name(axis, name)] = name
        source = Source()
        for module in named:
            for function in functions:
                source.used_by([f"{module}:{function}"])
        folder = SCRIPTS / "joulegrid" / room.replace(".", "/")
        there = {
            f"joulegrid.{room}.{path.stem}"
            for path in folder.glob("*.py")
            if path.stem != "__init__"
        }
        there |= {f"joulegrid.{room}.{path.parent.name}" for path in folder.glob("*/__init__.py")}
        helpers = {m for m in there if not has(source, m, functions)}
        assert there - helpers == set(named), axis


def has(source, module, functions):
    """Whether a module offers what methods of its room do."""
    found = source.module(module)
    return found is not None and set(functions) <= set(found.definitions)


def test_running_keys_are_keys_of_the_schema():
    for name, known in METHODS["quantization"].items():
        keys = schema_of("study")["$defs"][f"quantization.{name}"]["properties"]
        assert known.running <= set(keys), name


def test_steps_are_named_once():
    assert tuple(CALLS) == STEPS


def test_docs_name_every_method():
    text = (ROOT / "docs/methods.md").read_text()
    for axis in ("pruning", "quantization"):
        for name in METHODS[axis]:
            assert name == "none" or f"`{name}`" in text, name


@pytest.mark.parametrize(
    "part",
    [
        "training",
        "grid",
        "selection",
        "protocol",
        "hardware",
        "engine",
        "workload",
        "quality",
        "ranking",
        "carbon",
    ],
)
def test_the_commented_study_explains_every_key(part):
    """Keys of the other axes are in docs/methods.md."""
    schema = schema_of("study")
    definitions = [d for n, d in schema["$defs"].items() if n.startswith((f"{part}.", f"{part}-"))]
    keys = {
        key for d in (schema["properties"][part], *definitions) for key in d.get("properties", ())
    }
    text = (ROOT / "config/config.yaml").read_text()
    assert keys
    assert {key for key in keys if not re.search(rf"\b{key}:", text)} == set()
