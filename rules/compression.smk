# From a model to the weights of each configuration: pruning, then quantization.
PRUNED = "{model}/{training}/{pruning}"
CONFIGURATION = f"{PRUNED}/{{quantization}}"
MADE_OTHERWISE = {*specs.LOAD_TIME_METHODS, specs.FETCHED_METHOD}


localrules:
    refer_checkpoint,
    fetch_checkpoint,


rule prune_weights:
    input:
        model=f"{RESULTS}/models/{{model}}.json",
    output:
        f"{RESULTS}/pruned/{PRUNED}.json",
    log:
        f"{LOGS}/prune_weights/{PRUNED}.log",
    wildcard_constraints:
        pruning=one_of(labels_where("pruning", lambda method: method != "none")),
    conda:
        "../envs/python.yaml"
    threads: threads_of(SITE.stage("prune_weights"))
    resources:
        **SITE.stage("prune_weights"),
    params:
        spec=spec(SPECS.pruned, "model", "training", "pruning"),
        weights=weights_folder,
        python=python_of(specs.LLM),
    message:
        "Prune {output}"
    shell:
        f"{OFFLINE} {{params.python}} scripts/prune_weights.py --spec {{params.spec:q}} --model {{input.model:q}}"
        " --weights {params.weights:q} --output {output:q} > {log:q} 2>&1"


# Methods that quantize while loading make no copy of the weights.
rule refer_checkpoint:
    input:
        weights=weights_record,
    output:
        f"{RESULTS}/checkpoints/{CONFIGURATION}/checkpoint.json",
    log:
        f"{LOGS}/refer_checkpoint/{CONFIGURATION}.log",
    wildcard_constraints:
        quantization=one_of(labels_where("quantization", lambda method: method in specs.LOAD_TIME_METHODS)),
    conda:
        "../envs/python.yaml"
    params:
        spec=configuration_spec(SPECS.checkpoint),
    message:
        "Refer to the weights: {output}"
    shell:
        "python scripts/refer_checkpoint.py --spec {params.spec:q} --made-from {input.weights:q}"
        " --output {output:q} > {log:q} 2>&1"


rule quantize_weights:
    input:
        weights=weights_record,
    output:
        f"{RESULTS}/checkpoints/{CONFIGURATION}/checkpoint.json",
    log:
        f"{LOGS}/quantize_weights/{CONFIGURATION}.log",
    wildcard_constraints:
        quantization=one_of(labels_where("quantization", lambda method: method not in MADE_OTHERWISE)),
    conda:
        "../envs/python.yaml"
    threads: threads_of(SITE.stage("quantize_weights"))
    resources:
        **SITE.stage("quantize_weights"),
    params:
        spec=configuration_spec(SPECS.checkpoint),
        weights=weights_folder,
        python=quantizer_python,
    message:
        "Quantize {output}"
    shell:
        f"{OFFLINE} {{params.python}} scripts/quantize_weights.py --spec {{params.spec:q}} --made-from {{input.weights:q}}"
        " --weights {params.weights:q} --output {output:q} > {log:q} 2>&1"


# Checkpoints that somebody else quantized, on the login node: compute nodes need no internet.
rule fetch_checkpoint:
    input:
        weights=weights_record,
    output:
        f"{RESULTS}/checkpoints/{CONFIGURATION}/checkpoint.json",
    log:
        f"{LOGS}/fetch_checkpoint/{CONFIGURATION}.log",
    wildcard_constraints:
        quantization=one_of(labels_where("quantization", lambda method: method == specs.FETCHED_METHOD)),
    conda:
        "../envs/python.yaml"
    params:
        spec=configuration_spec(SPECS.checkpoint),
        weights=weights_folder,
        python=python_of(specs.LLM),
    message:
        "Fetch {output}"
    shell:
        "{params.python} scripts/fetch_checkpoint.py --spec {params.spec:q} --made-from {input.weights:q}"
        " --weights {params.weights:q} --output {output:q} > {log:q} 2>&1"
