# Carbon intensity from open services. It needs the internet and has no outputs: a study names the file that it writes.


localrules:
    fetch_intensity,


def what_to_fetch(wildcards):
    """The zone and the year that --config names."""
    wanted = str(config.get("fetch", "")).split()
    if len(wanted) != 2 or not wanted[1].isdigit():
        raise WorkflowError(
            'say of which zone and year: snakemake fetch_intensity --config fetch="GB 2025"'
        )
    return wanted


rule fetch_intensity:
    log:
        f"{LOGS}/fetch_intensity.log",
    conda:
        "../envs/python.yaml"
    params:
        wanted=what_to_fetch,
    message:
        "Carbon intensity of a zone and year"
    shell:
        "python scripts/fetch_intensity.py {params.wanted:q} 2>&1 | tee {log:q}"
