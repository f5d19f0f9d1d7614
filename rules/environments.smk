# Build the environments of the compute jobs from their locks. Nodes see them through the shared file system.


localrules:
    build_environment,


rule build_environment:
    output:
        "envs/{environment}/.venv/joulegrid.json",
    params:
        spec=spec(specs.environment, "environment"),
    log:
        f"{LOGS}/build_environment/{{environment}}.log",
    conda:
        "../envs/python.yaml"
    wildcard_constraints:
        environment="[a-z0-9]+",
    shell:
        "python scripts/build_environment.py --spec {params.spec:q} --environment envs/{wildcards.environment:q}"
        " --output {output:q} > {log:q} 2>&1"
