# Functions of the rules that conclude from records and keep house; those of jobs are in common.smk and inputs.smk.


def told(*options):
    """The study as it is after all files and --config, for the scripts; and more options."""

    def options_of(wildcards):
        files = [[list(keys), reference] for keys, reference in sorted(STUDY.files.items())]
        return ["--study", checked({"study": STUDY.data, "files": files}), *options]

    return options_of


def deadline():
    """The option of the plan where --config says by when a run shall be done."""
    settings = workflow.config_settings.config
    return ["--deadline", str(settings["deadline"])] if "deadline" in settings else []


def of_part():
    """The option of the plan where --config names a part of the study."""
    return [] if PART is None else ["--only", PART.words]


def refuse_part():
    """What concludes from records, or keeps house, is of whole studies."""
    if PART is not None:
        raise WorkflowError(
            "only: a part is planned (plan, -n), piloted or measured, and nothing is concluded from it; drop only, and "
            "`snakemake partial` ranks what is there"
        )


def of_whole(function):
    """`function` of wildcards, for targets that are of whole studies."""

    def refusing(wildcards):
        refuse_part()
        return function(wildcards)

    return refusing


def command_of(target, *more):
    """The command line that runs a target on this study, with more settings."""
    settings = {
        key: value for key, value in workflow.config_settings.config.items() if key not in COMMANDS
    }
    values = [*(f"{key}={as_setting(value)}" for key, value in settings.items()), *more]
    files = [os.path.relpath(path) for path in workflow.config_settings.configfiles]
    options = [
        *(["--configfile", *files] if files else []),
        *(["--config", *values] if values else []),
    ]
    return shlex.join(["snakemake", target, *options])


def as_setting(value):
    """A value as --config takes it."""
    if value is None:
        return ""
    return canonical_json(value) if isinstance(value, dict | list) else str(value)


def what_to_fetch(wildcards):
    """The zone and the year that --config names."""
    wanted = str(config.get("fetch", "")).split()
    if len(wanted) != 2 or not wanted[1].isdigit():
        raise WorkflowError(
            'say of which zone and year: snakemake fetch_intensity --config fetch="GB 2025"'
        )
    return wanted


def pilot_records(wildcards):
    """The records of the sessions that the plan names to be measured first."""
    return to_pilot()


@functools.cache
def to_pilot():
    # it imports what fits and chooses, which takes longer than planning a run: only for this target
    from joulegrid.planning.first import first_sessions

    jobs = first_sessions(SPECS, SITE.artifacts, UNFIT, PART)
    return [f"results/{job.path}.json" for job in jobs]


def at_a_time():
    """How many jobs run at once: what --config jobs says, else --jobs of a cluster; on this machine measurements
    run one by one.
    """
    asked = config.get("jobs", workflow.resource_settings.nodes or 1)
    if not re.fullmatch("[1-9][0-9]*", str(asked)):
        sys.exit(f"error: --config jobs={asked}: expected a whole number of jobs, 1 or more")
    return str(asked)


def others_to_combine():
    """The studies that --config combine names: one, or a list."""
    named = workflow.config_settings.config.get("combine") or []
    return [str(name) for name in (named if isinstance(named, list) else [named])]


def concluded():
    """What a run of the study makes out of its records; nothing of a part."""
    if PART is not None:
        return []
    names = ("study.nc", "ranking.csv", "carbon.csv", "report.html")
    stamps = [conclusion.stamp for conclusion in CONCLUSIONS.values()]
    return [f"{FOLDER}/{name}" for name in (*stamps, *names)]


def what_was_made():
    """What stands at the end of a run."""
    if PART is None:
        return f"The study {STUDY.name}: {FOLDER}"
    return (
        f"The part {PART.words} of the study {STUDY.name}, {len(PART.cells)} of {len(STUDY.cells)} cells; `snakemake "
        "partial` without only ranks what is there"
    )


def stamp_of(step):
    return f"{FOLDER}/{CONCLUSIONS[step].stamp}"


def in_report(path, category, caption, shows):
    """An output of the study as `snakemake --report` shows it."""
    return report(
        f"{FOLDER}/{path}",
        category=category,
        caption=f"../docs/captions/{caption}.rst",
        labels={"study": STUDY.name, "shows": shows, "file": path.rsplit(".", 1)[1]},
    )


def from_step(path, before, step):
    """What `step` takes from the one `before`: its times count nothing, unless that one runs too."""

    def file(wildcards):
        force_unless_stamped(step)
        behind = selects_anew() or wanted(wildcards) or not os.path.exists(stamp_of(before))
        return path if behind else ancient(path)

    return file


def records_for(step):
    """The records that `step` merges and that have to be made."""

    def files(wildcards):
        refuse_part()
        force_unless_stamped(step)
        return [*selection_made(wildcards), *wanted(wildcards)]

    return files


def force_unless_stamped(step):
    """Make all files of a step anew where they are those of another spec, also if one is asked for by its plain name.

    The missing stamp alone would do for the study as a whole.
    """
    if not os.path.exists(stamp_of(step)):
        workflow.dag.forcerules.add(workflow.get_rule(STEP_RULES[step]))
