# Load and validate the study; the small helpers that the rules share.
import os
import re
import subprocess
import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError

sys.path.insert(0, str(Path(workflow.basedir) / "scripts"))
from joulegrid.records import InputError, canonical_json, digest
from joulegrid.study import grid, loading, sites, specs

# Analysis scripts and uv run with the interpreter that runs snakemake, activated or not.
os.environ.update(PATH=os.pathsep.join([str(Path(sys.executable).parent), *os.get_exec_path()]))

# Compute nodes often have no internet, and the libraries shall not wait for it.
OFFLINE = "env HF_HUB_OFFLINE=1 HF_DATASETS_OFFLINE=1 TOKENIZERS_PARALLELISM=false"
# bash takes one argument of at most 128 KiB, and a spec is part of one
LONGEST_SPEC = 120_000


def load_study():
    """The study of --configfile (or config/config.yaml) with --config over it, and its site."""
    settings = workflow.config_settings
    files = [os.path.relpath(path) for path in settings.configfiles] or ["config/config.yaml"]
    try:
        study = loading.load(files, dict(settings.config))
        built = specs.Specs(study)
        built.check()
        return study, sites.load(study.data.get("site"), study), built
    except InputError as error:
        # the message and nothing else: an exception would come with Snakemake's lines around it
        sys.exit(f"error: {error}")


STUDY, SITE, SPECS = load_study()
RESULTS = f"results/{STUDY.name}"
WEIGHTS = f"{SITE.artifacts}/{STUDY.name}"
LOGS = f"{RESULTS}/logs"
FIGURES = ("energy_quality", "energy_components", "carbon_zones")
STUDY_OUTPUTS = [
    f"{RESULTS}/{name}"
    for name in ("study.nc", "ranking.csv", "carbon.csv", *(f"figures/{f}.svg" for f in FIGURES), "report.html")
]

CELL_RECORDS = [f"{RESULTS}/energy/{cell.path}.json" for cell in STUDY.cells]
QUALITY_RECORDS = [
    f"{RESULTS}/quality/{c.path}/{task}.json" for c in STUDY.configurations for task in STUDY.labels("quality")
]


def checked_spec(build, *labels):
    """The spec that `build` makes for `labels`, as text."""
    try:
        text = canonical_json(build(*labels))
    except InputError as error:
        raise WorkflowError(str(error)) from None
    if len(text) > LONGEST_SPEC:
        raise WorkflowError(f"{STUDY.source}: the study is too large for one file; split it in two")
    return text


def spec(build, *names):
    """`build` as a function of wildcards that gives a spec as text. `names` are the wildcards it takes."""
    return lambda wildcards: checked_spec(build, *(getattr(wildcards, name) for name in names))


def configuration_of(wildcards):
    return grid.Configuration(wildcards.model, wildcards.training, wildcards.pruning, wildcards.quantization)


def configuration_spec(build):
    return lambda wildcards: checked_spec(build, configuration_of(wildcards))


def cell_spec(wildcards):
    cell = grid.Cell(*configuration_of(wildcards), wildcards.hardware, wildcards.engine, wildcards.workload)
    return checked_spec(SPECS.energy, cell)


def quality_spec(wildcards):
    return checked_spec(SPECS.quality, configuration_of(wildcards), wildcards.task)


def records_found():
    """Which records of the study exist now, and since when: the partial merge runs again when that changes."""
    folders = [Path(RESULTS, kind) for kind in ("energy", "quality")]
    return digest(sorted([str(p), p.stat().st_mtime_ns] for folder in folders for p in folder.rglob("*.json")))


def check_site():
    """A cluster needs a site: without one, jobs would go to its default partition with no GPU."""
    if SITE.data is None and getattr(workflow.executor_plugin, "name", "") == "slurm":
        raise WorkflowError(
            "no site: --config on the command line replaces the profile's; add site=config/sites/YOURS.yaml to it"
        )


def python_of(environment):
    """The interpreter of an environment of the compute jobs, such as envs/llm."""
    return f"{environment}/.venv/bin/python"


def build_environments():
    """Build the environments that jobs of this run need and that are not there as their locks say."""
    pythons = {job.params.get("python") for job in workflow.dag.needrun_jobs()} - {None}
    for environment in sorted(str(Path(python).parents[2]) for python in pythons):
        if subprocess.run([sys.executable, "scripts/build_environment.py", environment]).returncode:
            raise WorkflowError("an environment of the compute jobs could not be built, see above")


def quantizer_python(wildcards):
    method = STUDY.data["quantization"][wildcards.quantization]["method"]
    return python_of(specs.QUANTIZER_ENVIRONMENTS.get(method, specs.LLM))


def engine_python(wildcards):
    method = STUDY.data["engine"][wildcards.engine]["method"]
    return python_of(specs.ENGINE_ENVIRONMENTS.get(method, specs.LLM))


def threads_of(resources, share=1):
    """CPUs of a job: the site's, or without a site the machine's, divided by the `share` of jobs that may run at once.

    A measurement has the whole machine, so that nothing runs beside it.
    """
    return resources.get("cpus_per_task") or max((workflow.resource_settings.cores or 1) // share, 1)


def one_of(labels):
    """A wildcard constraint: one of these labels; a pattern that matches nothing where there are none."""
    return "|".join(map(re.escape, labels)) or "(?!)"


def labels_where(axis, test):
    return [label for label, entry in STUDY.data[axis].items() if test(entry["method"])]


def weights_record(wildcards):
    """What a checkpoint is made from: the pruned weights, or the model where nothing is pruned."""
    if STUDY.data["pruning"][wildcards.pruning]["method"] == "none":
        return f"{RESULTS}/models/{wildcards.model}.json"
    return f"{RESULTS}/pruned/{wildcards.model}/{wildcards.training}/{wildcards.pruning}.json"


def weights_folder(wildcards, output):
    """Where the weights behind a record lie: beside it, or at the same path on the site's scratch."""
    return os.path.splitext(output[0].replace(RESULTS, WEIGHTS, 1))[0]


wildcard_constraints:
    model=one_of(STUDY.labels("model")),
    training=one_of(STUDY.labels("training")),
    pruning=one_of(STUDY.labels("pruning")),
    quantization=one_of(STUDY.labels("quantization")),
    engine=one_of(STUDY.labels("engine")),
    workload=one_of(STUDY.labels("workload")),
    task=one_of(STUDY.labels("quality")),
