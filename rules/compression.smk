# From a model to the weights of each configuration: pruning, then quantization.
PRUNED = "pruned/{model}/{training}/{pruning}/{id}"
WEIGHTS = "weights/{model}/{training}/{pruning}/{quantization}/{id}"


localrules:
    fetch_weights,


rule prune_weights:
    input:
        weights_for(PRUNED),
    output:
        record=f"results/{PRUNED}.json",
        weights=f"{SITE.artifacts}/{PRUNED}/{MARKERS['pruned']}",
    log:
        f"{LOGS}/{PRUNED}.log",
    wildcard_constraints:
        pruning=one_of(labels_where("pruning", methods.Weights.MADE)),
    conda:
        "../envs/python.yaml"
    threads: threads_of(SITE.stage("prune_weights"))
    resources:
        **of_stage("prune_weights"),
    params:
        command=command("prune_weights", PRUNED, of_models),
    message:
        "Prune {output.record}"
    shell:
        f"{OFFLINE} {{params.command}} > {{log:q}} 2>&1"


rule quantize_weights:
    input:
        weights_for(WEIGHTS),
    output:
        record=f"results/{WEIGHTS}.json",
        weights=f"{SITE.artifacts}/{WEIGHTS}/{MARKERS['weights']}",
    log:
        f"{LOGS}/{WEIGHTS}.log",
    wildcard_constraints:
        quantization=one_of(labels_where("quantization", methods.Weights.MADE)),
    conda:
        "../envs/python.yaml"
    threads: threads_of(SITE.stage("quantize_weights"))
    resources:
        **of_stage("quantize_weights"),
    params:
        command=command("quantize_weights", WEIGHTS, of_method("quantization")),
    message:
        "Quantize {output.record}"
    shell:
        f"{OFFLINE} {{params.command}} > {{log:q}} 2>&1"


# Weights that somebody else quantized, on the login node: compute nodes need no internet.
rule fetch_weights:
    output:
        record=f"results/{WEIGHTS}.json",
        weights=f"{SITE.artifacts}/{WEIGHTS}/{MARKERS['weights']}",
    log:
        f"{LOGS}/{WEIGHTS}.log",
    wildcard_constraints:
        quantization=one_of(labels_where("quantization", methods.Weights.FETCHED)),
    conda:
        "../envs/python.yaml"
    params:
        command=command("fetch_weights", WEIGHTS, of_models),
    message:
        "Fetch {output.record}"
    shell:
        "{params.command} > {log:q} 2>&1"
