# What a run says of itself: joules so far and how long it still takes, and at its end the answer.
from snakemake.logging import logger
from snakemake.settings.types import ExecMode

from joulegrid.planning.progress import Progress


def show_answer():
    """Of a whole study: nothing is concluded from a part, a file or another target."""
    asked = workflow.dag_settings.targets
    if PART is None and (not asked or "all" in asked):
        subprocess.run([sys.executable, "scripts/show_answer.py", FOLDER], check=False)


if workflow.exec_mode == ExecMode.DEFAULT and not workflow.dryrun:
    logger.addHandler(Progress(logger.info, show_answer))


onsuccess:
    show_answer()
