# Evaluate quality: once per configuration and task, whatever hardware the configuration is measured on.
QUALITY = "quality/{model}/{training}/{pruning}/{quantization}/{task}/{id}"


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
        **SITE.stage("evaluate_quality"),
    params:
        command=command("evaluate_quality", QUALITY, of_models),
    message:
        "Evaluate {output}"
    shell:
        f"{OFFLINE} {{params.command}} > {{log:q}} 2>&1"
