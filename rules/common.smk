# Load and validate the study; what the rules share.
import functools
import inspect
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError
from snakemake.utils import available_cpu_count

sys.path.insert(0, str(Path(workflow.basedir) / "scripts"))
from joulegrid.errors import InputError
from joulegrid.planning import infeasible, scheduling, sizes
from joulegrid.records import canonical_json, digest, identity
from joulegrid.study import (
    accept,
    answering,
    conclusions,
    judges,
    methods,
    only,
    second_loop,
    selection,
    sites,
    study,
)
from joulegrid.study.grid import Configuration
from joulegrid.study.points import number_of
from joulegrid.study.shelf import MARKERS, Shelf, jobs_of, sent
from joulegrid.study.specs import Specs

# Analysis scripts and uv run with the interpreter that runs snakemake, activated or not.
os.environ.update(PATH=os.pathsep.join([str(Path(sys.executable).parent), *os.get_exec_path()]))

# Compute nodes often have no internet, and the libraries shall not wait for it.
OFFLINE = "env HF_HUB_OFFLINE=1 HF_DATASETS_OFFLINE=1 TOKENIZERS_PARALLELISM=false"
# bash takes one argument of at most 128 KiB, and a spec is part of one
LONGEST_SPEC = 120_000


def use_all_cores():
    """On this machine and without --cores or --jobs: all cores, as the profile `local` says too.

    It cannot stand in profiles/default, which would have its way over the other profiles.
    """
    settings = workflow.resource_settings
    if settings.cores is None and settings.nodes is None:
        settings.cores = available_cpu_count()
        workflow.global_resources["_cores"] = settings.cores


def load_study():
    """The study of --configfile (or config/config.yaml) with --config over it, and its site."""
    settings = workflow.config_settings
    files = [os.path.relpath(path) for path in settings.configfiles] or ["config/config.yaml"]
    own = {key: value for key, value in settings.config.items() if key not in COMMANDS}
    try:
        found = study.load(files, own, beside=COMMANDS)
        site = sites.load(found.data.get("site"), found)
        specs = Specs(found)
        # a job that was sent is not asked again by the node that runs it
        unfit = {} if workflow.remote_exec else infeasible.of_study(specs, site.data)
        every = list(jobs_of(specs))
        jobs = sent(every, unfit)
        steps = conclusions.conclusions(found, jobs, unfit)
        asked = settings.config.get(only.KEY)
        part = only.part_of(found, asked) if only.KEY in settings.config else None
        return found, site, specs, every, jobs, unfit, steps, part
    except InputError as error:
        # the message and nothing else: an exception would come with Snakemake's lines around it
        sys.exit(f"error: {error}")


use_all_cores()
STEP_RULES = {
    "select": "select_trained",
    "merge": "merge_measurements",
    "analyse": "analyse_study",
    "draw": "draw_figures",
    "report": "write_report",
}
# What --config tells the targets accept, retract, combine, fetch_intensity and plan, when jobs begin, or which cells are
# made, and is nothing of a study
COMMANDS = {"accept", "combine", "deadline", "fetch", "jobs", only.KEY}
# UNFIT is what is known not to fit: no job is sent, so that it is not among JOBS. PART is what --config only
# names; all others are of the whole study
STUDY, SITE, SPECS, EVERY_JOB, JOBS, UNFIT, CONCLUSIONS, PART = load_study()
FOLDER = f"results/studies/{STUDY.name}"
LOGS = "results/logs"
JOB_AT = {job.path: job for job in EVERY_JOB}
SHELF = Shelf(SITE.artifacts, EVERY_JOB)
MODELS = sizes.Models(SPECS, SHELF)
LOOPS = STUDY.loops
DECIDED = []  # who goes on, once that is known


@functools.cache
def turn(job):
    """When an energy job has its turn within its session: from 0 up to 1, at random by the study's seed."""
    return int(digest([STUDY.data["protocol"]["seed"], job])[:8], 16) / 16**8


def session_by_session(path):
    """Session 1 of all cells before session 2 of any, in a seeded random order within a session.

    What drifts over a study then falls into the spread of every cell, not into the comparison.
    """

    def priority(wildcards):
        return round((1 - turn(job_at(path, wildcards).id) - int(wildcards.session)) * 16**8)

    return priority


def with_samples(output):
    """Options of a measurement whose samples are kept beside its record."""
    kept = STUDY.data["protocol"]["record"]
    return ["--samples", str(Path(output).with_suffix(".samples.gz"))] if kept else []


def command(script, path, environment, more=lambda output: []):
    """The command of the job at `path`: an entry script in an environment, told the spec and the folders of weights.

    `--source` is the folder of the weights in the job's input, `--weights` that of the weights it makes, `--output`
    its record; named inputs are folders of further weights, options of these names; `more` gives further options.
    """

    @signed
    def line(wildcards, input, output):
        told = ["--spec", checked(job_at(path, wildcards).spec), "--output", output[0]]
        told += ["--source", os.path.dirname(input[0])] if input else []
        for name, marker in input.items():
            told += [f"--{name}", os.path.dirname(str(marker))] if marker else []
        told += ["--weights", os.path.dirname(output[1])] if len(output) > 1 else []
        told += more(output[0])
        return shlex.join(
            [f"{environment(wildcards)}/.venv/bin/python", f"scripts/{script}.py", *told]
        )

    return line


def checked(spec):
    text = canonical_json(spec)
    if len(text) > LONGEST_SPEC:
        raise WorkflowError(f"{STUDY.source}: the study is too large for one file; split it in two")
    return text


def check_site():
    """A cluster needs a site: without one, jobs would go to its default partition with no GPU."""
    on_slurm = getattr(workflow.executor_plugin, "name", "") == "slurm"
    if SITE.data is None and on_slurm:
        raise WorkflowError(
            "no site: --config on the command line replaces the profile's; add site=config/sites/YOURS.yaml to it"
        )
    measures = not on_slurm and any(is_measurement(job) for job in workflow.dag.needrun_jobs())
    if measures and begins():
        raise WorkflowError(
            "deadline: only Slurm begins jobs later; add --profile slurm, or drop it"
        )


def is_measurement(job):
    return job.rule.name.startswith("measure_energy_")


def of_models(wildcards):
    """The environment in which models are obtained, pruned and evaluated."""
    return methods.LLM


def of_texts(path):
    """The environment of the engine with which the job at `path` answers questions."""
    return lambda wildcards: answering.environment_of(job_at(path, wildcards).parts)


def of_judge(wildcards):
    """The environment in which judges are asked."""
    return methods.JUDGE


def of_method(axis, hardware=None):
    """The environment of the method that wildcards name on an axis, on a machine where it depends on that."""
    device = STUDY.data["hardware"][hardware]["device"] if hardware else "cpu"
    known = {
        label: methods.method(axis, entry).environment_on(device)
        for label, entry in STUDY.data[axis].items()
    }
    return lambda wildcards: known[wildcards[axis]]


def environments():
    """The environments that the methods of the study need."""
    making = {
        methods.method("quantization", entry).environment
        for entry in STUDY.data["quantization"].values()
    }
    running = {
        methods.method("engine", entry).environment_on(hardware["device"])
        for entry in STUDY.data["engine"].values()
        for hardware in STUDY.data["hardware"].values()
    }
    evaluating = {
        methods.method("quality", entry).environment for entry in STUDY.data["quality"].values()
    }
    return sorted({methods.LLM} | making | running | evaluating)


def build_environments():
    """Build what the study needs, before its first compute job; jobs that are not known yet included."""
    if not any(job.rule.name in COMPUTE_RULES for job in workflow.dag.needrun_jobs()):
        return
    for environment in environments():
        if subprocess.run([sys.executable, "scripts/build_environment.py", environment]).returncode:
            raise WorkflowError("an environment of the compute jobs could not be built, see above")


def one_of(labels):
    """A wildcard constraint: one of these labels; a pattern that matches nothing where there are none."""
    return "|".join(map(re.escape, labels)) or "(?!)"


def labels_where(axis, weights):
    """The labels of an axis whose methods make weights in this way."""
    return [
        label
        for label, entry in STUDY.data[axis].items()
        if methods.method(axis, entry).weights == weights
    ]


wildcard_constraints:
    model=one_of(STUDY.labels("model")),
    training=one_of(STUDY.labels("training")),
    pruning=one_of(STUDY.labels("pruning")),
    quantization=one_of(STUDY.labels("quantization")),
    engine=one_of(STUDY.labels("engine")),
    workload=one_of(STUDY.labels("workload")),
    task=one_of(STUDY.labels("quality")),
    metric=one_of(methods.METHODS["metric"]),
    session="[0-9]+",
    id="[0-9a-f]{16}",
