# Build the environments of the compute jobs from their locks. Nodes see them through the shared file system.
#
# An environment is no input of the jobs that run in it: what a change of a lock invalidates is decided by the
# fingerprints in their specs, package by package. (An ancient() input would not do: Snakemake does not look at the
# params of a job below one that has a reason of its own to run.) So they are built before a run starts.


localrules:
    build_environment,


onstart:
    check_site()
    build_environments()


rule build_environment:
    output:
        "envs/{environment}/.venv/joulegrid.json",
    log:
        f"{LOGS}/build_environment/{{environment}}.log",
    conda:
        "../envs/python.yaml"
    params:
        spec=spec(specs.environment, "environment"),
    message:
        "Build the environment {wildcards.environment}"
    shell:
        "python scripts/build_environment.py envs/{wildcards.environment} > {log:q} 2>&1"
