# Build the environments of the compute jobs from their locks. Nodes see them through the shared file system.
#
# An environment is no input of the jobs that run in it: what a change of a lock invalidates is decided by their specs,
# package by package. So they are built before a run starts.


localrules:
    build_environment,


onstart:
    check_site()
    accept.keep_listings(SPECS)
    build_environments()


rule build_environment:
    output:
        "envs/{environment}/.venv/joulegrid.json",
    log:
        f"{LOGS}/build_environment/{{environment}}.log",
    conda:
        "../envs/python.yaml"
    message:
        "Build the environment {wildcards.environment}"
    shell:
        "python scripts/build_environment.py envs/{wildcards.environment} > {log:q} 2>&1"
