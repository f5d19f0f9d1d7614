# Functions of the rules about what jobs take: which records have to be made, and where weights and texts lie.


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
