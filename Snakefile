# joulegrid: which compressed configuration of which LLM, on which machine, in which grid, gives enough quality for
# the least energy and CO2?
#
#   snakemake --profile profiles/local                         the study of config/config.yaml, on this machine
#   snakemake --profile slurm                                  the same, on a Slurm cluster
#   snakemake --configfile config/studies/quickstart.yaml …    another study
#   snakemake --configfile … --config scale=mini …             a study in miniature, where it has one
#   snakemake -n                                               the plan: what would run, and nothing else
#   snakemake plan                                             what that would take, and what cannot run
#   snakemake --config only="model=llama-7b" …                 a part of the grid: plan, dry-run, pilot, run
#   snakemake pilot …                                          measure what makes the plan surest, and say it again
#   snakemake partial …                                        merge and rank what is there, list what is missing
#   snakemake export …                                         CSV, Parquet, Markdown, LaTeX, a data-set card
#   snakemake combine …                                        several studies in one dataset
#   snakemake accept …                                         results that an upgrade left behind, to be taken over
#   snakemake fetch_intensity --config fetch="GB 2025"         hourly carbon intensity from an open service
#   snakemake unused …                                         results that no study names, with their sizes
from snakemake.utils import min_version

min_version("9.27")


include: "rules/common.smk"
include: "rules/resources.smk"
include: "rules/inputs.smk"
include: "rules/steps.smk"


rule all:
    default_target: True
    input:
        concluded(),
        missing_after_merge,
    message:
        what_was_made()


include: "rules/progress.smk"
include: "rules/environments.smk"
include: "rules/models.smk"
include: "rules/training.smk"
include: "rules/compression.smk"
include: "rules/energy.smk"
include: "rules/quality.smk"
include: "rules/selection.smk"
include: "rules/analysis.smk"
include: "rules/planning.smk"
include: "rules/housekeeping.smk"
include: "rules/intensity.smk"
