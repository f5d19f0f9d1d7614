# Evaluate quality: once per configuration and task, whatever hardware the configuration is measured on.


rule evaluate_quality:
    input:
        checkpoint=f"{RESULTS}/checkpoints/{CONFIGURATION}/checkpoint.json",
    output:
        f"{RESULTS}/quality/{CONFIGURATION}/{{task}}.json",
    log:
        f"{LOGS}/evaluate_quality/{CONFIGURATION}/{{task}}.log",
    conda:
        "../envs/python.yaml"
    threads: threads_of(SITE.stage("evaluate_quality"), share=2)
    resources:
        **SITE.stage("evaluate_quality"),
    params:
        spec=quality_spec,
        python=python_of(specs.LLM),
    message:
        "Evaluate {output}"
    shell:
        f"{OFFLINE} {{params.python}} scripts/evaluate_quality.py --spec {{params.spec:q}} --checkpoint {{input.checkpoint:q}}"
        " --output {output:q} > {log:q} 2>&1"
