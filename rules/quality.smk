# Evaluate quality: once per configuration and task, whatever hardware the configuration is measured on.
QUALITY = "quality/{model}/{training}/{pruning}/{quantization}/{task}/{id}"
TEXTS = "texts/{model}/{training}/{pruning}/{quantization}/{task}/{id}"
JUDGMENTS = "judgments/{model}/{training}/{pruning}/{quantization}/{task}/{id}"
SCORES = "scores/{model}/{training}/{pruning}/{quantization}/{task}/{metric}/{id}"


rule evaluate_quality:
    input:
        weights_for(QUALITY),
    output:
        f"results/{QUALITY}.json",
    log:
        f"{LOGS}/{QUALITY}.log",
    conda:
        "../envs/python.yaml"
    threads: threads_of(SITE.stage("evaluate_quality"), share=2)
    resources:
        **of_stage("evaluate_quality"),
    params:
        command=command("evaluate_quality", QUALITY, of_models),
    message:
        "Evaluate {output}"
    shell:
        f"{OFFLINE} {{params.command}} > {{log:q}} 2>&1"


# Answers to the questions of a task, once. Metrics of them are jobs of their own. What they take is compared (guides):
# nothing runs beside.
rule generate_texts:
    input:
        weights_for(TEXTS),
        guide=guide_for(TEXTS),
    output:
        f"results/{TEXTS}.json",
    log:
        f"{LOGS}/{TEXTS}.log",
    conda:
        "../envs/python.yaml"
    threads: threads_of(SITE.stage("evaluate_quality"))
    resources:
        **of_stage("evaluate_quality"),
    params:
        command=command("generate_texts", TEXTS, of_texts(TEXTS)),
    message:
        "Generate {output}"
    shell:
        f"{OFFLINE} {{params.command}} > {{log:q}} 2>&1"


rule score_texts:
    input:
        texts_for(SCORES),
    output:
        f"results/{SCORES}.json",
    log:
        f"{LOGS}/{SCORES}.log",
    conda:
        "../envs/python.yaml"
    threads: threads_of(SITE.stage("score_texts"), share=2)
    resources:
        **of_stage("score_texts"),
    params:
        command=command("score_texts", SCORES, of_models),
    message:
        "Score {output}"
    shell:
        f"{OFFLINE} {{params.command}} > {{log:q}} 2>&1"


# Ask a judge, on the login node: compute nodes need no internet. Replies are kept beside the record as they come.
localrules:
    judge_answers,


rule judge_answers:
    input:
        texts_for(JUDGMENTS),
        baseline_for(JUDGMENTS),
    output:
        f"results/{JUDGMENTS}.json",
    log:
        f"{LOGS}/{JUDGMENTS}.log",
    conda:
        "../envs/python.yaml"
    threads: threads_of_judge
    params:
        command=command("judge_answers", JUDGMENTS, of_judge, asking),
    message:
        "Judge {output}"
    shell:
        "{params.command} > {log:q} 2>&1"
