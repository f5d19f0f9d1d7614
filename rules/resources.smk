# Functions of the rules about what jobs ask for, and when they begin.
from datetime import UTC, datetime

# What a Slurm job gets that nobody says anything of, as profiles/slurm does: minutes, MB
OTHERWISE = {"runtime": 60, "mem_mb": 16000}
# By how much a session has a lower priority on Slurm than the one before, and over how much of that its cells are
# spread. Where Slurm counts priority down by 1 with each job it takes, the 200 jobs that the profile gives it at once,
# in no order, keep the sessions apart
NICE, WITHIN = 1000, 800


def threads_of(resources, share=1):
    """CPUs of a job: the site's, or without a site the machine's, divided by the `share` of jobs that may run at once.

    A measurement has the whole machine, so that nothing runs beside it.
    """
    return resources.get("cpus_per_task") or max(
        (workflow.resource_settings.cores or 1) // share, 1
    )


def has_deadline():
    """Whether --config deadline says by when a run shall be done. Jobs on nodes read this file too, and need nothing of
    it.
    """
    return "deadline" in workflow.config_settings.config and workflow.is_main_process


@functools.cache
def begins():
    """(hardware, session) -> the option of sbatch with which the jobs of a round begin later, by a plan of its own.

    It is asked where a measurement has to be made: the target `plan` makes no second plan.
    """
    if not has_deadline():
        return {}
    from joulegrid.planning import plan, submission

    try:
        made = plan.of_study(SPECS, SITE.artifacts, site=SITE.data, part=PART)
        by = str(workflow.config_settings.config["deadline"])
        asked = made.cells, made.to_run, made.efforts
        said = submission.planned(STUDY, SITE, *asked, by, datetime.now(UTC))
    except InputError as error:
        sys.exit(f"error: {error}")
    return submission.options(said)


def if_in_time(source):
    """`source`, an input function of measurements; a deadline that cannot be kept stops the run here, with one line.

    Asked as a resource only, the same error would come with Snakemake's lines around it.
    """

    @signed
    def marker(wildcards):
        begins()
        return source(wildcards)

    return marker


def threads_of_judge(wildcards):
    """All cores where a judge computes on this machine: whatever ran beside it would be metered as its work."""
    settings = workflow.resource_settings
    local = judges.is_local(STUDY.data["quality"][wildcards.task]["judge"])
    return (settings.cores or settings.local_cores or 1) if local else 1


def in_turn(path, hardware, resources):
    """Resources of the energy jobs of a hardware entry, for sbatch: which go first, and which rounds begin later.

    Snakemake gives Slurm all jobs that are ready, in no order: by their priority it only decides which fit into
    `jobs`. Who says `--nice` has that instead.
    """
    own = resources.get("slurm_extra", "")
    given = "--nice" in own or (
        "slurm_extra" in (workflow.resource_settings.default_resources or ())
        and "slurm_extra" not in resources
    )
    ordered = SITE.data is not None and workflow.is_main_process and not given
    if not (ordered or has_deadline()):
        return resources

    @signed
    def extra(wildcards):
        session = int(wildcards.session)
        found = [own, begins().get((hardware, session), "")]
        if ordered:
            within = WITHIN * turn(job_at(path, wildcards).id)
            found.append(f"--nice={int(NICE * (session - 1) + within)}")
        return " ".join(filter(None, found))

    return {**resources, "slurm_extra": extra}


def of_stage(name):
    """Resources of the jobs of a stage: the site's; run time and memory that it leaves out as predicted."""
    left_out = SITE.left_out("stages", name)
    found = scheduling.making(STUDY, name, OTHERWISE, SITE.data, MODELS.sizes) if left_out else {}
    return completed(SITE.stage(name), found, left_out)


def of_hardware(label):
    """The same of the measurements on a hardware entry; by what the last plan learned there, if it did."""
    left_out = SITE.left_out("hardware", label)
    if not left_out:
        return SITE.hardware(label)
    learned = scheduling.learned_in(Path(FOLDER, "plan/calibration.tsv"))
    found = scheduling.measuring(STUDY, label, OTHERWISE, UNFIT, learned, MODELS.sizes)
    return completed(SITE.hardware(label), found, left_out)


def completed(given, predicted, left_out):
    """What the site says, and what is predicted in the place of what it leaves out: more at each attempt."""
    return {**given, **{key: growing(predicted[key]) for key in left_out & set(predicted)}}


def growing(value):
    """`value` for the first attempt, twice as much for the second …"""
    return lambda wildcards, attempt: value * attempt
