# What a run says of itself: joules so far and how long it still takes, and at its end the answer;
# and what a dry-run says at its end.
from snakemake.logging import logger
from snakemake.settings.types import ExecMode

from joulegrid.planning.progress import AfterDryRun, Progress


def asks_for_all():
    """Whether the study is asked for, and no file or other target."""
    asked = workflow.dag_settings.targets
    return not asked or "all" in asked


def show_answer():
    """Of a whole study: nothing is concluded from a part, and nothing is made by a dry-run."""
    if PART is None and asks_for_all() and not workflow.dryrun:
        subprocess.run([sys.executable, "scripts/show_answer.py", FOLDER], check=False)


def show_kept_back():
    """For how many cells a dry-run has no job because none would run: it lists jobs alone."""
    if not workflow.dryrun or not asks_for_all():
        return
    cells = cells_with(selected())
    unsupported = sum(STUDY.unsupported(cell) is not None for cell in cells)
    unfit = sum(cell in UNFIT for cell in cells)
    if unsupported or unfit:
        logger.info(
            f"No job is sent for {unsupported + unfit} of {len(cells)} cells: {unsupported} that no engine runs, {unfit} "
            "known not to fit. `snakemake plan` says which and why, and what the others take."
        )


# Whether it is a dry-run, Snakemake knows only when it begins: both listen, and ask then
if workflow.exec_mode == ExecMode.DEFAULT:
    logger.addHandler(Progress(logger.info, show_answer))
    logger.addHandler(AfterDryRun(show_kept_back))


onsuccess:
    show_answer()
