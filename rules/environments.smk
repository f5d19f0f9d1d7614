# Build the environments of the compute jobs from their locks. Nodes see them through the shared file system.


localrules:
    build_environment,


rule build_environment:
    output:
        "envs/{environment}/.venv/joulegrid.json",
    log:
        f"{LOGS}/build_environment/{{environment}}.log",
    wildcard_constraints:
        environment="[a-z0-9]+",
    conda:
        "../envs/python.yaml"
    params:
        spec=spec(specs.environment, "environment"),
    message:
        "Build the environment {wildcards.environment}"
    shell:
        "python scripts/build_environment.py --spec {params.spec:q} --environment envs/{wildcards.environment:q}"
        " --output {output:q} > {log:q} 2>&1"
