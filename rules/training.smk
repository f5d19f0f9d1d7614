# From a model to fine-tuned weights: the epochs of a training, then weights of their own.
TRAINING = "training/{model}/{training}/{id}"
TRAINED = "trained/{model}/{training}/{id}"


rule train_model:
    input:
        weights_for(TRAINING),
        shorter=epochs_before(TRAINING),
    output:
        record=f"results/{TRAINING}.json",
        weights=f"{SITE.artifacts}/{TRAINING}/{MARKERS['training']}",
    log:
        f"{LOGS}/{TRAINING}.log",
    wildcard_constraints:
        training=one_of(labels_where("training", methods.Weights.MADE)),
    conda:
        "../envs/python.yaml"
    threads: threads_of(SITE.stage("train_model"))
    resources:
        **of_stage("train_model"),
    params:
        command=command("train_model", TRAINING, of_models),
    message:
        "Train {output.record}"
    shell:
        f"{OFFLINE} {{params.command}} > {{log:q}} 2>&1"


rule merge_training:
    input:
        weights_for(TRAINED),
        base=weights_for(TRAINED, lambda job: job.source.source),
    output:
        record=f"results/{TRAINED}.json",
        weights=f"{SITE.artifacts}/{TRAINED}/{MARKERS['trained']}",
    log:
        f"{LOGS}/{TRAINED}.log",
    wildcard_constraints:
        training=one_of(labels_where("training", methods.Weights.MADE)),
    conda:
        "../envs/python.yaml"
    threads: threads_of(SITE.stage("merge_training"))
    resources:
        **of_stage("merge_training"),
    params:
        command=command("merge_training", TRAINED, of_models),
    message:
        "Merge {output.record}"
    shell:
        f"{OFFLINE} {{params.command}} > {{log:q}} 2>&1"
