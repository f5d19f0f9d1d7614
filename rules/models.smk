# Obtain models, on the login node: compute nodes need no internet.


localrules:
    fetch_model,


rule fetch_model:
    output:
        f"{RESULTS}/models/{{model}}.json",
    log:
        f"{LOGS}/fetch_model/{{model}}.log",
    conda:
        "../envs/python.yaml"
    params:
        spec=spec(SPECS.model, "model"),
        weights=weights_folder,
        python=python_of(specs.LLM),
    message:
        "Fetch {output}"
    shell:
        "{params.python} scripts/fetch_model.py --spec {params.spec:q} --weights {params.weights:q}"
        " --output {output:q} > {log:q} 2>&1"
