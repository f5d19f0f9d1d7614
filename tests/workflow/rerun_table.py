"""The rerun table: edits, copies and upgrades, and what each wants run again. Nothing more, nothing
less.

A row is (edit, compute jobs, steps of the cheap end). What real dry-runs wanted is printed by
`pytest -sm slow tests/workflow/test_rerun.py`.
"""

import copy
import os
import re
import shutil
import subprocess

from helpers import house

STEPS = {"merge_measurements", "analyse_study", "draw_figures", "write_report"}
ANALYSIS = STEPS - {"merge_measurements"}
CONFIGURATIONS = {f"{p}/{q}" for p in ("none", "half") for q in ("fp32", "nf4", "gptq4")}
GPTQ = {c for c in CONFIGURATIONS if c.endswith("gptq4")}
HALF = {c for c in CONFIGURATIONS if c.startswith("half")}
BOTH = ("here", "there")


def energy(configurations, hardware=BOTH, model="tiny", sessions=(1, 2), workload="questions"):
    """The measurements of configurations, as `house.planned` names them."""
    return {
        ("measure_energy", f"energy/{model}/none/{c}/{h}/transformers/{workload}/{s}")
        for c in configurations
        for h in hardware
        for s in sessions
    }


def quality(configurations, tasks=("text", "facts"), model="tiny"):
    """The evaluations of configurations."""
    return {
        ("evaluate_quality", f"quality/{model}/none/{c}/{t}") for c in configurations for t in tasks
    }


def weights(configurations, model="tiny"):
    """The quantizations that make a copy, of configurations."""
    return {
        ("quantize_weights", f"weights/{model}/none/{c}") for c in configurations if "gptq" in c
    }


def pruned(model="tiny"):
    """The pruning."""
    return {("prune_weights", f"pruned/{model}/none/half")}


def fetched(model):
    """The fetching of a model."""
    return {("fetch_model", f"models/{model}")}


def whole(configurations, model="tiny"):
    """All that is made of configurations."""
    return (
        weights(configurations, model)
        | energy(configurations, model=model)
        | quality(configurations, model=model)
    )


def of(*names):
    """Configurations by their quantizations."""
    return {c for c in CONFIGURATIONS if c.split("/")[1] in names}


ALL = CONFIGURATIONS
EVERYTHING = fetched("tiny") | pruned() | whole(ALL)
GPTQ8 = {"method": "gptq", "bits": 8, "calibration": {"text": "config/texts/calibration.txt"}}


# ---------------------------------------------------------------- edits
def study(edit):
    """Edit the study's data."""

    def apply(place, data):
        edit(data)
        house.write_study(place, data)

    return apply


def file(path, old, new):
    """Replace the first match of a pattern in a file; where it matches nothing the row is wrong."""

    def apply(place, data):
        text = (place / path).read_text()
        assert re.search(old, text), f"{path} has no {old}"
        (place / path).write_text(re.sub(old, new, text, count=1))

    return apply


def append(path, text):
    """Add text to the end of a file."""
    return lambda place, data: (place / path).write_text((place / path).read_text() + text)


def lock(package, environment="envs/llm/"):
    """Another version of a package in a lock."""
    pattern = rf'name = "{package}"\nversion = "[^"]+"'
    return file(f"{environment}uv.lock", pattern, f'name = "{package}"\nversion = "99.0"')


def reformat(place, data):
    """The same YAML, written another way."""
    text = (place / "config/study.yaml").read_text()
    (place / "config/study.yaml").write_text(f"# a comment\n\n{text}\n# another\n")


def reorder(data):
    """The same keys in another order."""
    for key, value in list(data.items()):
        if isinstance(value, dict):
            data[key] = dict(reversed(value.items()))


def delete(path):
    """Delete the one record under some labels."""
    return lambda place, data: house.record(place, path).unlink()


def copy_results(place, data):
    """`cp -r` of the results into another clone: new file times, and no memory of Snakemake's."""
    old = place.with_name("other-clone")
    place.rename(old)
    house.copy_project(place)
    house.put_stand_in(place)
    shutil.copytree(old / "config", place / "config", dirs_exist_ok=True)
    subprocess.run(["cp", "-r", old / "results", place / "results"], check=True)
    shutil.rmtree(old)


def touch_results(place, data):
    """New file times in an order that is none of making."""
    for n, path in enumerate(sorted((place / "results").rglob("*"), reverse=True)):
        if path.is_file():
            os.utime(path, (1_000_000_000 + n, 1_000_000_000 + n))


def share_results(place, data):
    """Two clones on one results folder: this one has never seen it."""
    shared = place.with_name("shared")
    (place / "results").rename(shared)
    (place / "results").symlink_to(shared)
    shutil.rmtree(place / ".snakemake")


def both(*edits):
    """Several edits, one after the other."""

    def apply(place, data):
        for edit in edits:
            edit(place, data)

    return apply


def there_and_back(place, data):
    """A setting changed, run, and changed back."""
    data["quantization"]["gptq4"]["bits"] = 3
    house.write_study(place, data)
    house.snakemake(place, "--cores", "4")
    data["quantization"]["gptq4"]["bits"] = 4
    house.write_study(place, data)


def analysis_there_and_back(place, data):
    """The weight of the ranking changed, run, and changed back."""
    before = copy.deepcopy(data)
    study(lambda s: s["ranking"].update(weight=0.5))(place, data)
    house.snakemake(place, "--cores", "4")
    house.write_study(place, before)


def rename(axis, old, new):
    """Another label for an entry."""

    def apply(data):
        data[axis] = {new if label == old else label: entry for label, entry in data[axis].items()}

    return study(apply)


def swap(data):
    """Two labels change places."""
    q = data["quantization"]
    q["nf4"], q["gptq4"] = q["gptq4"], q["nf4"]


def move_model(place, data):
    """The model lies elsewhere, and its files have other times."""
    shutil.copytree(place / "config/model", place / "config/elsewhere")
    study(lambda s: s["model"]["tiny"].update(path="config/elsewhere"))(place, data)


def move_prompts(place, data):
    """The same prompts under another name."""
    shutil.copy(place / "config/prompts/questions.jsonl", place / "config/prompts/asked.jsonl")
    study(lambda s: s["workload"]["questions"].update(prompts="config/prompts/asked.jsonl"))(
        place, data
    )


def second_study(data):
    """Another study that shares a model, a quantization and a workload with this one, under labels
    of its own.
    """
    data.update(study="second", description="shares entries")
    data["quantization"] = {
        "full": data["quantization"]["fp32"],
        "gptq-4bit": data["quantization"]["gptq4"],
    }
    data["quantization"]["gptq8"] = GPTQ8
    data["ranking"]["baseline"] = {"quantization": "full"}
    data["hardware"].pop("there")


RECORDS = "scripts/joulegrid/records.py"
SESSION = "scripts/joulegrid/metering/session.py"
POINTS = "scripts/joulegrid/metering/points.py"

ROWS = {
    # ------------------------------------------------------------ the study
    "change nothing": (lambda place, data: None, set(), set()),
    "add a model": (
        study(lambda s: s["model"].update(two={"path": "config/second-model"})),
        fetched("two") | pruned("two") | whole(ALL, "two"),
        STEPS,
    ),
    "add a quantization": (
        study(lambda s: s["quantization"].update(gptq8=GPTQ8)),
        whole({"none/gptq8", "half/gptq8"}),
        STEPS,
    ),
    "change one quantization's bits": (
        study(lambda s: s["quantization"]["gptq4"].update(bits=3)),
        whole(GPTQ),
        STEPS,
    ),
    "change one quantization's kernel": (
        study(lambda s: s["quantization"]["gptq4"].update(kernel="gptq_torch")),
        energy(GPTQ) | quality(GPTQ),
        STEPS,
    ),
    "change a workload's prompts": (
        file("config/prompts/questions.jsonl", "known for", "famous for"),
        energy(ALL),
        STEPS,
    ),
    "change the calibration text": (
        file("config/texts/calibration.txt", "SQLite", "SQLITE"),
        whole(GPTQ),
        STEPS,
    ),
    "more sessions": (
        study(lambda s: s.update(protocol={"sessions": 3})),
        energy(ALL, sessions=(3,)),
        STEPS,
    ),
    "fewer sessions": (study(lambda s: s.update(protocol={"sessions": 1})), set(), STEPS),
    "change the protocol": (
        study(lambda s: s.update(protocol={"sessions": 2, "min_seconds": 5})),
        energy(ALL),
        STEPS,
    ),
    "change the seed": (
        study(lambda s: s.update(protocol={"sessions": 2, "seed": 1})),
        whole(ALL),
        STEPS,
    ),
    "change a partition": (
        file("config/sites/test.yaml", "slurm_partition: a", "slurm_partition: b"),
        set(),
        set(),
    ),
    "change a memory": (
        file("config/sites/test.yaml", "mem_mb: 1000", "mem_mb: 2000"),
        set(),
        set(),
    ),
    "change a run time": (
        file("config/sites/test.yaml", "runtime: 10", "runtime: 20"),
        set(),
        set(),
    ),
    "weights on scratch": (
        file("config/sites/test.yaml", "^", "artifacts: scratch\n"),
        set(),
        set(),
    ),
    "change the ranking weight": (
        study(lambda s: s["ranking"].update(weight=0.5)),
        set(),
        ANALYSIS,
    ),
    "change one zone's intensity": (
        study(lambda s: s["carbon"]["zones"]["BE"].update(intensity_g_per_kwh=150)),
        set(),
        ANALYSIS,
    ),
    "change a PUE": (study(lambda s: s["hardware"]["there"].update(pue=1.2)), set(), ANALYSIS),
    "change the description": (
        study(lambda s: s.update(description="other words")),
        set(),
        {"write_report"},
    ),
    "remove a hardware entry": (study(lambda s: s["hardware"].pop("there")), set(), STEPS),
    "reorder keys": (study(reorder), set(), set()),
    "reformat the YAML": (reformat, set(), set()),
    "write a whole number as 2.0": (
        study(lambda s: s.update(protocol={"sessions": 2.0})),
        set(),
        set(),
    ),
    "name the metrics that count anyway": (
        study(lambda s: s["ranking"].update(metrics=["text", "facts.acc"])),
        set(),
        set(),
    ),
    # ------------------------------------------------------------ names
    "rename the study": (study(lambda s: s.update(study="renamed")), set(), STEPS),
    "rename a quantization": (rename("quantization", "nf4", "four-bit"), set(), STEPS),
    "rename a hardware entry": (
        both(
            rename("hardware", "there", "yonder"),
            file("config/sites/test.yaml", "there:", "yonder:"),
        ),
        set(),
        STEPS,
    ),
    "swap two labels": (study(swap), set(), STEPS),
    "move the model": (move_model, set(), STEPS),
    "rename the prompts file": (move_prompts, set(), STEPS),
    "a second study with shared entries": (
        study(second_study),
        whole(new := {"none/gptq8", "half/gptq8"}) - energy(new, ("there",)),
        STEPS,
    ),
    # ------------------------------------------------------------ files
    "delete an energy record": (
        delete("energy/tiny/none/half/nf4/here/transformers/questions/1"),
        energy({"half/nf4"}, ("here",), sessions=(1,)),
        STEPS,
    ),
    "delete a quality record": (
        delete("quality/tiny/none/half/nf4/text"),
        quality({"half/nf4"}, ("text",)),
        STEPS,
    ),
    "delete the weights": (lambda place, data: shutil.rmtree(weights_folder(place)), set(), set()),
    "delete the weights, and add a workload": (
        both(
            lambda place, data: shutil.rmtree(weights_folder(place)),
            study(
                lambda s: s["workload"].update(
                    short={**s["workload"]["questions"], "new_tokens": 4}
                )
            ),
        ),
        weights({"none/gptq4"}) | energy(ALL, workload="short"),
        STEPS,
    ),
    "copy the results to another clone (cp -r)": (copy_results, set(), set()),
    "copy the results, then change bits": (
        both(copy_results, study(lambda s: s["quantization"]["gptq4"].update(bits=3))),
        whole(GPTQ),
        STEPS,
    ),
    "copy the results, then the ranking weight": (
        both(copy_results, study(lambda s: s["ranking"].update(weight=0.5))),
        set(),
        ANALYSIS,
    ),
    "new file times": (touch_results, set(), set()),
    "delete .snakemake": (lambda place, data: shutil.rmtree(place / ".snakemake"), set(), set()),
    "two clones on one results folder": (share_results, set(), set()),
    "bits there and back": (there_and_back, set(), STEPS),
    "ranking weight there and back": (analysis_there_and_back, set(), ANALYSIS),
    # ------------------------ upgrades that compute nothing else
    "a comment": (file(SESSION, "import time", "# why\nimport time"), set(), set()),
    "a docstring": (file(POINTS, "Run until the run time", "Run till the run time"), set(), set()),
    "a type hint": (file(SESSION, r"-> dict\[str, Any\]:", "-> dict:"), set(), set()),
    "a message": (file(POINTS, "warm-up", "warming up"), set(), set()),
    "the text of an error": (
        file(
            "scripts/joulegrid/workloads/prompts.py", "the workload asks for", "the workload wants"
        ),
        set(),
        set(),
    ),
    "a message of the hub": (
        file("scripts/joulegrid/models/hub.py", "is gated: accept", "is locked: accept"),
        set(),
        set(),
    ),
    "an unused constant in records.py": (append(RECORDS, "\nUNUSED = 1\n"), set(), set()),
    "a new function beside a used one": (
        append(SESSION, "\n\ndef unrelated():\n    return 1\n"),
        set(),
        set(),
    ),
    "a version bump": (
        file("scripts/joulegrid/__init__.py", r'__version__ = "[\d.]+"', '__version__ = "9.9"'),
        set(),
        set(),
    ),
    "one more fact in describe()": (
        file("scripts/joulegrid/models/describe.py", '"dtypes": ', '"more": 1, "dtypes": '),
        set(),
        set(),
    ),
    "one more fact of an engine": (
        file(
            "scripts/joulegrid/engines/transformers/facts.py",
            '"weights_bytes": ',
            '"more": 1, "weights_bytes": ',
        ),
        set(),
        set(),
    ),
    "one more fact of the device": (
        file(
            "scripts/joulegrid/jobs/devices.py",
            '"memory_bytes": _mem',
            '"more": 1, "memory_bytes": _mem',
        ),
        set(),
        set(),
    ),
    "one more sign of out-of-memory": (
        file(
            "scripts/joulegrid/jobs/outcomes.py",
            '"not enough memory",',
            '"not enough memory", "no memory",',
        ),
        set(),
        set(),
    ),
    "one more name in PACKAGES": (
        file("scripts/measure_energy.py", '"torch",', '"torch", "numpy",'),
        set(),
        set(),
    ),
    "a shell redirection written another way": (
        file("rules/energy.smk", "{{log:q}} 2>&1", "{{log:q}} 2>&1 < /dev/null"),
        set(),
        set(),
    ),
    "certifi in the lock": (lock("certifi"), set(), set()),
    "multiprocess in the lock": (lock("multiprocess"), set(), set()),
    "rich in the lock": (lock("rich"), set(), set()),
    "pytest in the lock": (lock("pytest"), set(), set()),
    "PyYAML in the workflow's lock": (lock("pyyaml", ""), set(), set()),
    # ------------------------ upgrades that may compute something else
    "another meter": (
        file("scripts/joulegrid/metering/tracker.py", r"pue=1\.0", "pue=1.5"),
        energy(ALL),
        STEPS,
    ),
    "another warm-up": (
        file(POINTS, r"SETTLED, LONGEST_WARM_UP = 0\.05", "SETTLED, LONGEST_WARM_UP = 0.5"),
        energy(ALL),
        STEPS,
    ),
    "a helper's logic": (
        file("scripts/joulegrid/workloads/prompts.py", r"sorted\(random", "list(random"),
        energy(ALL),
        STEPS,
    ),
    "how one kind of weights is loaded": (
        file(
            "scripts/joulegrid/engines/transformers/loading/bitsandbytes_4bit.py",
            "load_in_4bit=True",
            "load_in_4bit=bool(1)",
        ),
        energy(of("nf4")) | quality(of("nf4")),
        STEPS,
    ),
    "how one method makes weights": (
        file(
            "scripts/joulegrid/compression/quantization/gptq.py",
            "act_group_aware=False",
            "act_group_aware=bool(0)",
        ),
        whole(GPTQ),
        STEPS,
    ),
    "another mask": (
        file("scripts/joulegrid/compression/pruning/masks.py", "largest=False", "largest=bool(0)"),
        pruned() | whole(HALF),
        STEPS,
    ),
    "the logic of one quality task": (
        file(
            "scripts/joulegrid/quality/perplexity.py",
            r"losses, done = \[\], 1",
            "losses, done = [], 1 * 1",
        ),
        quality(ALL, ("text",)),
        STEPS,
    ),
    "the comparison's logic": (
        file("scripts/joulegrid/analysis/statistics.py", r"CONFIDENCE = 0\.95", "CONFIDENCE = 0.9"),
        set(),
        ANALYSIS,
    ),
    "the report's template": (
        file("scripts/joulegrid/report/page.html.j2", "<h2>Carbon", "<h2>CO2"),
        set(),
        {"write_report"},
    ),
    "a package of one kind of weights": (
        lock("bitsandbytes"),
        energy(of("nf4")) | quality(of("nf4")),
        STEPS,
    ),
    "the package that places weights": (
        lock("accelerate"),
        whole(GPTQ) | energy(ALL) | quality(ALL),
        STEPS,
    ),
    "a package of one task": (lock("lm-eval"), quality(ALL, ("facts",)), STEPS),
    "torch": (lock("torch"), EVERYTHING - fetched("tiny"), STEPS),
}


def weights_folder(place):
    """The folder of the GPTQ weights of the dense model."""
    return house.record(place, "weights/tiny/none/none/gptq4").with_suffix("")
