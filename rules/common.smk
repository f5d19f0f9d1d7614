# Load and validate the study; what the rules share.
import functools
import inspect
import os
import re
import shlex
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

from snakemake.exceptions import WorkflowError
from snakemake.utils import available_cpu_count

sys.path.insert(0, str(Path(workflow.basedir) / "scripts"))
from joulegrid.errors import InputError
from joulegrid.records import canonical_json, digest
from joulegrid.study import accept, conclusions, judges, methods, sites, study
from joulegrid.study.grid import Configuration
from joulegrid.study.points import number_of
from joulegrid.study.shelf import MARKERS, Shelf, jobs_of
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
        found = study.load(files, own)
        site = sites.load(found.data.get("site"), found)
        specs = Specs(found)
        jobs = list(jobs_of(specs))
        return found, site, specs, jobs, conclusions.conclusions(found, jobs)
    except InputError as error:
        # the message and nothing else: an exception would come with Snakemake's lines around it
        sys.exit(f"error: {error}")


use_all_cores()
STEP_RULES = {
    "merge": "merge_measurements",
    "analyse": "analyse_study",
    "draw": "draw_figures",
    "report": "write_report",
}
# What --config tells the targets accept, retract, combine and fetch_intensity, or when jobs begin, and is nothing of a
# study
COMMANDS = {"accept", "combine", "deadline", "fetch"}
STUDY, SITE, SPECS, JOBS, CONCLUSIONS = load_study()
FOLDER = f"results/studies/{STUDY.name}"
LOGS = "results/logs"
JOB_AT = {job.path: job for job in JOBS}
SHELF = Shelf(SITE.artifacts, JOBS)


def begins():
    """(hardware, session) -> the option of sbatch with which the jobs of a round begin later, where --config deadline
    says by when a run shall be done. Jobs on nodes read this file too, and need nothing of it.
    """
    settings, now = workflow.config_settings.config, datetime.now(UTC)
    if "deadline" not in settings or not workflow.is_main_process:
        return {}
    from joulegrid.planning import plan, submission

    try:
        made, by = plan.of_study(SPECS, SITE.artifacts), str(settings["deadline"])
        said = submission.planned(STUDY, SITE, made.cells, made.to_run, by, now)
    except InputError as error:
        sys.exit(f"error: {error}")
    return submission.options(said)


BEGINS = begins()


def later(hardware, resources):
    """Resources of the energy jobs of a hardware entry, of which rounds may begin later."""
    if not any(entry == hardware for entry, _ in BEGINS):
        return resources
    own = resources.get("slurm_extra", "")

    def extra(wildcards):
        return f"{own} {BEGINS.get((hardware, int(wildcards.session)), '')}".strip()

    return {**resources, "slurm_extra": extra}


def wanted(wildcards):
    """The records that have to be made. Those that are there are right: no job is planned for them."""
    return missing(is_forced())


def is_forced():
    """Whether jobs are to be made again although their results are there."""
    return bool(workflow.dag_settings.forceall or workflow.dag_settings.forcerun)


def missing_after_merge(wildcards):
    """Who deletes a record wants it measured again, although it is merged already."""
    merged = os.path.exists(f"{FOLDER}/{CONCLUSIONS['merge'].stamp}")
    return wanted(wildcards) if merged else []


@functools.cache
def missing(forced):
    return [f"results/{job.path}.json" for job in (JOBS if forced else SHELF.missing(JOBS))]


def signed(function):
    """`function` with its signature at hand: Snakemake asks for it at every call."""
    function.__signature__ = inspect.signature(function)
    return function


def job_at(path, wildcards):
    """The job whose record lies at `path`, a path below results/ with wildcards in it."""
    place = path.format_map(wildcards)
    if place not in JOB_AT:
        raise WorkflowError(
            f"results/{place}: nothing of the study has this id; if a job asked for it, the study, the code or a lock "
            "has changed since it was planned: run snakemake again"
        )
    return JOB_AT[place]


def weights_for(path, of=lambda job: job.source):
    """The weights that the job at `path` is made from; `of` gives the job that has them.

    Where files of them are gone although their marker is there, they are made again for a job that has to run.
    """

    @signed
    def marker(wildcards):
        job = job_at(path, wildcards)
        found = SHELF.weights(of(job))
        if SHELF.is_whole(found) or not os.path.exists(found):
            return ancient(found)
        if not is_forced() and job.path not in to_make():
            return []  # it is there: what it was made from does not matter
        workflow.dag.forcefiles.add(found)
        # not ancient: Snakemake passes over what is behind a forced file and takes it for ancient
        return found

    return marker


def texts_for(path):
    """The record of the answers that the job at `path` computes metrics of."""

    return signed(lambda wildcards: record_or_place(job_at(path, wildcards).source))


def baseline_for(path):
    """The record of the answers that those of the job at `path` are compared with."""
    return signed(lambda wildcards: record_or_place(opposed_by(job_at(path, wildcards))))


def record_or_place(job):
    """The record of a job; where it will be, if it is not there."""
    found = SHELF.record(job)
    return ancient(found) if found and not is_forced() else f"results/{job.path}.json"


def opposed_by(job):
    """The job of the baseline's answers that those of another job are compared with."""
    return SPECS.opposed(Configuration(*job.labels[:4]), job.labels[4])


def asking(output):
    """Options of a job that asks a judge: where it is asked, and the baseline's answers."""
    job = JOB_AT[str(Path(output).with_suffix("").relative_to("results"))]
    baseline = opposed_by(job)
    told = judges.endpoint_of(STUDY.data["quality"][job.labels[4]])
    there = SHELF.record(baseline) or f"results/{baseline.path}.json"
    return ["--endpoint", canonical_json(told), "--baseline", there]


def epochs_before(path):
    """The weights of a shorter training whose epochs are the first ones of that at `path`, where the study makes or
    has them.
    """

    @signed
    def marker(wildcards):
        shorter = SPECS.goes_on_with(job_at(path, wildcards))
        if shorter is None or shorter.path not in JOB_AT:
            return []
        found = SHELF.weights(shorter)
        if SHELF.is_whole(found):
            return ancient(found)
        return found if shorter.path in to_make() else []

    return marker


@functools.cache
def to_make():
    """The paths of the jobs that a run of the whole study would do."""
    return {job.path for job in SHELF.to_make(JOBS)}


def session_by_session(path):
    """Session 1 of all cells before session 2 of any, in a seeded random order within a session.

    What drifts over a study then falls into the spread of every cell, not into the comparison.
    """
    seed = STUDY.data["protocol"]["seed"]

    def priority(wildcards):
        shuffled = int(digest([seed, job_at(path, wildcards).id])[:8], 16)
        return shuffled - int(wildcards.session) * 16**8

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
    if BEGINS and not on_slurm and any(is_measurement(job) for job in workflow.dag.needrun_jobs()):
        raise WorkflowError(
            "deadline: only Slurm begins jobs later; add --profile slurm, or drop it"
        )


def is_measurement(job):
    return job.rule.name.startswith("measure_energy_")


def of_models(wildcards):
    """The environment in which models are obtained, pruned and evaluated."""
    return methods.LLM


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


def threads_of(resources, share=1):
    """CPUs of a job: the site's, or without a site the machine's, divided by the `share` of jobs that may run at once.

    A measurement has the whole machine, so that nothing runs beside it.
    """
    return resources.get("cpus_per_task") or max(
        (workflow.resource_settings.cores or 1) // share, 1
    )


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
