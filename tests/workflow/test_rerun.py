"""After an edit a dry-run wants exactly the jobs that the edit invalidates: none too many, none too few."""

import re

import pytest
import yaml

import house

MERGE = {"merge_measurements", "analyse_study", "draw_figures", "write_report"}
ANALYSIS = MERGE - {"merge_measurements"}
CONFIGURATIONS = {f"{p}/{q}" for p in ("none", "half") for q in ("fp32", "nf4", "gptq4")}


def cells(configurations, hardware=("here", "there"), model="tiny"):
    return {
        ("measure_energy", f"energy/{model}/none/{c}/{h}/transformers/questions.json")
        for c in configurations
        for h in hardware
    }


def quality(configurations, tasks=("text", "facts"), model="tiny"):
    return {("evaluate_quality", f"quality/{model}/none/{c}/{t}.json") for c in configurations for t in tasks}


def checkpoints(configurations, model="tiny"):
    return {
        (
            "quantize_weights" if c.endswith(("gptq4", "gptq8")) else "refer_checkpoint",
            f"checkpoints/{model}/none/{c}/checkpoint.json",
        )
        for c in configurations
    }


def with_method(*names):
    return {c for c in CONFIGURATIONS if c.split("/")[1] in names}


def study(edit):
    def apply(place, data):
        edit(data)
        house.write_study(place, data)

    return apply


def file(path, old, new):
    def apply(place, data):
        text = (place / path).read_text()
        assert re.search(old, text), f"{path} has no {old}"
        (place / path).write_text(re.sub(old, new, text, count=1))

    return apply


def lock(package):
    return file("envs/llm/uv.lock", rf'name = "{package}"\nversion = "[^"]+"', f'name = "{package}"\nversion = "99.0"')


def reorder(data):
    for key in ("quantization", "pruning", "hardware", "quality"):
        data[key] = dict(reversed(data[key].items()))
    for key in list(data)[:4]:
        data[key] = data.pop(key)


def reformat(place, data):
    text = yaml.safe_dump(data, default_flow_style=True, indent=6, width=60)
    (place / "config/study.yaml").write_text("# the same study, written another way\n\n" + text)


TWO = {"path": "config/second-model"}
GPTQ8 = {"method": "gptq", "bits": 8, "calibration": {"text": "config/texts/calibration.txt"}}
ALL_COMPUTE = (
    {("prune_weights", "pruned/tiny/none/half.json")}
    | checkpoints(CONFIGURATIONS)
    | cells(CONFIGURATIONS)
    | quality(CONFIGURATIONS)
)
GPTQ_CONFIGURATIONS = with_method("gptq4")
# edit -> (jobs it wants besides the analysis, rules of the analysis it wants)
CASES = {
    "nothing": (lambda place, data: None, set(), set()),
    "add a model": (
        study(lambda s: s["model"].update(two=TWO)),
        {("fetch_model", "models/two.json"), ("prune_weights", "pruned/two/none/half.json")}
        | checkpoints(CONFIGURATIONS, "two")
        | cells(CONFIGURATIONS, model="two")
        | quality(CONFIGURATIONS, model="two"),
        MERGE,
    ),
    "add a quantization": (
        study(lambda s: s["quantization"].update(gptq8=GPTQ8)),
        checkpoints(new := {"none/gptq8", "half/gptq8"}) | cells(new) | quality(new),
        MERGE,
    ),
    "change one quantization's bits": (
        study(lambda s: s["quantization"]["gptq4"].update(bits=3)),
        checkpoints(GPTQ_CONFIGURATIONS) | cells(GPTQ_CONFIGURATIONS) | quality(GPTQ_CONFIGURATIONS),
        MERGE,
    ),
    "change a workload's prompts": (
        file("config/prompts/questions.jsonl", "known for", "famous for"),
        cells(CONFIGURATIONS),
        MERGE,
    ),
    "change the calibration text": (
        file("config/texts/calibration.txt", "SQLite", "SQLITE"),
        checkpoints(GPTQ_CONFIGURATIONS) | cells(GPTQ_CONFIGURATIONS) | quality(GPTQ_CONFIGURATIONS),
        MERGE,
    ),
    "change repeats": (study(lambda s: s.update(protocol={"repeats": 5})), cells(CONFIGURATIONS), MERGE),
    "change a partition": (file("config/sites/test.yaml", "slurm_partition: a", "slurm_partition: b"), set(), set()),
    "change a memory": (file("config/sites/test.yaml", "mem_mb: 1000", "mem_mb: 2000"), set(), set()),
    "change a run time": (file("config/sites/test.yaml", "runtime: 10", "runtime: 20"), set(), set()),
    "move weights to scratch": (file("config/sites/test.yaml", "^", "artifacts: scratch\n"), set(), set()),
    "change the ranking weight": (study(lambda s: s["ranking"].update(weight=0.5)), set(), ANALYSIS),
    "change one zone's intensity": (
        study(lambda s: s["carbon"]["zones"]["BE"].update(intensity_g_per_kwh=150)),
        set(),
        ANALYSIS,
    ),
    "change a PUE": (study(lambda s: s["hardware"]["there"].update(pue=1.2)), set(), ANALYSIS),
    "change the description": (study(lambda s: s.update(description="other words")), set(), {"write_report"}),
    "remove a hardware entry": (study(lambda s: s["hardware"].pop("there")), set(), MERGE),
    "reorder keys": (study(reorder), set(), set()),
    "reformat the YAML": (reformat, set(), set()),
    "write a whole number as 3.0": (study(lambda s: s.update(protocol={"repeats": 3.0})), set(), set()),
    "name the metrics that count anyway": (
        study(lambda s: s["ranking"].update(metrics=["text", "facts.acc"])),
        set(),
        set(),
    ),
    "change the seed": (
        study(lambda s: s.update(protocol={"seed": 1})),
        checkpoints(GPTQ_CONFIGURATIONS) | cells(CONFIGURATIONS) | quality(CONFIGURATIONS),
        MERGE,
    ),
    "delete a record": (
        lambda place, data: (place / "results/small/quality/tiny/none/half/nf4/text.json").unlink(),
        quality({"half/nf4"}, tasks=("text",)),
        MERGE,
    ),
    "add a comment to a script": (
        file("scripts/measure_energy.py", "import time", "# why\nimport time"),
        set(),
        set(),
    ),
    "change a docstring": (file("scripts/measure_energy.py", "The protocol:", "This protocol:"), set(), set()),
    "change a helper's logic": (
        file("scripts/joulegrid/workloads.py", r"max\(count, 1\)", "max(count, 2)"),
        cells(CONFIGURATIONS),
        MERGE,
    ),
    "change one method's logic": (
        file("scripts/joulegrid/loading/bitsandbytes_4bit.py", "load_in_4bit=True", "load_in_4bit=bool(1)"),
        cells(with_method("nf4")) | quality(with_method("nf4")),
        MERGE,
    ),
    "change how one method makes weights": (
        file("scripts/joulegrid/compression/gptq.py", "act_group_aware=False", "act_group_aware=bool(0)"),
        checkpoints(GPTQ_CONFIGURATIONS) | cells(GPTQ_CONFIGURATIONS) | quality(GPTQ_CONFIGURATIONS),
        MERGE,
    ),
    "change the logic of one quality task": (
        file("scripts/joulegrid/quality/perplexity.py", "total, scored, done = 0.0", "total, scored, done = 0.0 * 1"),
        quality(CONFIGURATIONS, tasks=("text",)),
        MERGE,
    ),
    "change the pruning's logic": (
        file("scripts/joulegrid/compression/masks.py", "largest=False", "largest=bool(0)"),
        {("prune_weights", "pruned/tiny/none/half.json")}
        | checkpoints(h := {c for c in CONFIGURATIONS if c.startswith("half")})
        | cells(h)
        | quality(h),
        MERGE,
    ),
    "change the ranking's logic": (file("scripts/joulegrid/ranking.py", "0.975", "0.95"), set(), ANALYSIS),
    "change the report's template": (
        file("scripts/joulegrid/report.html.j2", "<h2>Carbon", "<h2>CO2"),
        set(),
        {"write_report"},
    ),
    "change a locked package of one method": (
        lock("bitsandbytes"),
        cells(with_method("nf4")) | quality(with_method("nf4")),
        MERGE,
    ),
    "change the locked package that places weights": (
        lock("accelerate"),
        checkpoints(GPTQ_CONFIGURATIONS) | cells(CONFIGURATIONS) | quality(CONFIGURATIONS),
        MERGE,
    ),
    "change a locked package of one task": (lock("lm-eval"), quality(CONFIGURATIONS, tasks=("facts",)), MERGE),
    "change a locked package of all": (lock("torch"), ALL_COMPUTE - checkpoints({"none/fp32", "none/nf4"}), MERGE),
    "change a locked package of none": (lock("pytest"), set(), set()),
}


@pytest.mark.parametrize("name", CASES)
def test_an_edit_wants_exactly_the_jobs_that_it_invalidates(own, name):
    edit, compute, analysis = CASES[name]
    place, data = own
    edit(place, data)
    jobs = house.planned(place)
    analysis_jobs = {script for script, _ in jobs if script in MERGE}
    compute_jobs = {job for job in jobs if job[0] not in MERGE}
    assert compute_jobs - compute == set(), "false reruns"
    assert compute - compute_jobs == set(), "missed reruns"
    assert analysis_jobs == analysis
