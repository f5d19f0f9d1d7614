# Obtain models, on the login node: compute nodes need no internet.


MODEL = "models/{model}/{id}"


localrules:
    fetch_model,


rule fetch_model:
    output:
        record=f"results/{MODEL}.json",
        weights=f"{SITE.artifacts}/{MODEL}/{MARKERS['models']}",
    log:
        f"{LOGS}/{MODEL}.log",
    conda:
        "../envs/python.yaml"
    params:
        command=command("fetch_model", MODEL, of_models),
    message:
        "Fetch {output.record}"
    shell:
        "{params.command} > {log:q} 2>&1"
