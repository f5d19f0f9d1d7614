# Functions of the rules about what jobs take: which records have to be made, and where weights and texts lie.


def wanted(wildcards):
    """The records that have to be made. Those that are there are right: no job is planned for them."""
    return missing(is_forced(), selected())


def is_forced():
    """Whether jobs are to be made again although their results are there."""
    return bool(workflow.dag_settings.forceall or workflow.dag_settings.forcerun)


def missing_after_merge(wildcards):
    """Who deletes a record wants it measured again, although it is merged already.

    While a selection is open, what does not wait for it begins. Of a part, the records are all that is made.
    """
    if PART is not None:
        return wanted(wildcards)
    merged = os.path.exists(f"{FOLDER}/{CONCLUSIONS['merge'].stamp}")
    return wanted(wildcards) if merged or selected() is None else []


@functools.cache
def missing(forced, goes_on):
    found = jobs_with(goes_on)
    return [f"results/{job.path}.json" for job in (found if forced else SHELF.missing(found))]


@functools.cache
def jobs_with(goes_on):
    """The jobs of the study, or its part, where these trained models go on; without an answer those of the first loop."""
    if LOOPS is None and PART is None:
        return JOBS
    return sent(jobs_of(SPECS, cells_with(goes_on)), UNFIT)


def cells_with(goes_on):
    """The cells of the study, or its part, where these trained models go on; without an answer those of the first loop."""
    return only.within(PART, STUDY.cells if LOOPS is None else LOOPS.cells(goes_on or ()))


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


def guide_for(path):
    """The record of the texts that stand in the prompts of the job at `path`, where it has a guide."""

    def record(wildcards):
        job = job_at(path, wildcards)
        guide = SPECS.guide(Configuration(*job.labels[:4]), job.labels[4])
        return record_or_place(guide) if guide else []

    return signed(record)


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
    return {job.path for job in SHELF.to_make(jobs_with(selected()))}


def selected():
    """The trained models that go on to the second loop; None while a record that decides it is not there.

    What is written down counts. Where only that is missing, as after another weight or number, it is worked out here:
    a dry-run then shows exactly what will run, and writes nothing.
    """
    if LOOPS is None:
        return ()
    if not DECIDED and has_compared():
        DECIDED.append(tuple(written_down() if is_written() else worked_out()))
        SHELF.forget()  # what the first loop made has been looked for before
        to_make.cache_clear()
    return DECIDED[0] if DECIDED else None


def written_down():
    """What the study's file says of who goes on; None where it is of other choices."""
    return selection.read(Path(FOLDER, selection.FILE), identity(CONCLUSIONS["select"].spec))


def is_written():
    return written_down() is not None and os.path.exists(stamp_of("select"))


def has_compared():
    """Whether all that the selection is decided by is there; jobs that are forced have to run first, but for a part,
    which decides nothing.
    """
    if is_forced() and PART is None and stamp_of("select") not in checkpoints.created_output:
        return False
    return not SHELF.missing(compared())


@functools.cache
def compared():
    """The jobs that the selection is decided by."""
    cells = LOOPS.compared(STUDY.data["ranking"]["baseline"])
    return sent(jobs_of(SPECS, cells), UNFIT)


def worked_out():
    """The trained models that go on, worked out of records by a process of its own: this one shall start fast."""
    spec = checked(CONCLUSIONS["select"].spec)
    done = subprocess.run(
        [sys.executable, "scripts/select_trained.py", "--spec", spec],
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise WorkflowError(f"the selection cannot be decided: {done.stderr.strip()}")
    return selection.goes_on(json.loads(done.stdout))


def records_compared(wildcards):
    """The records that the selection is decided by and that have to be made."""
    if not is_written():
        workflow.dag.forcerules.add(workflow.get_rule(STEP_RULES["select"]))
    jobs = compared()
    return [f"results/{job.path}.json" for job in (jobs if is_forced() else SHELF.missing(jobs))]


def selection_made(wildcards):
    """What says which trained models go on. What takes it waits for it while it is open."""
    if LOOPS is None:
        return []
    if selected() is None:
        checkpoints.select_trained.get()
    stamp = stamp_of("select")
    return [ancient(stamp) if is_written() and not is_forced() else stamp]


def selects_anew():
    """Whether this run decides what goes on, so that all behind is made anew."""
    return LOOPS is not None and (selected() is None or not is_written())


def what_is_selected(wildcards):
    """What the selection decides, for people: who goes on where that is known, or else the most that it may be."""
    goes_on = selected()
    if goes_on is not None:
        names = ", ".join(f"{training} of {model}" for model, training in goes_on)
        return f"{names or 'nothing'} will go on"

    def size(cells):
        found = second_loop.added(SPECS, SHELF, UNFIT, cells, jobs_with(None))
        sessions = sum(job.kind == "energy" for job in found)
        return f"{len(cells)} cells with {sessions} sessions to run"

    most = second_loop.most(SPECS, SHELF, UNFIT)
    every = [cell for cells in LOOPS.second.values() for cell in cells]
    per = " of each model" if STUDY.data["selection"]["per"] == selection.PER_MODEL else ""
    return (
        f"of {len(LOOPS.candidates)} trained models the best {LOOPS.count}{per} will go on. Open until then: "
        f"at most {size(most)}, out of {size(every)}"
    )
