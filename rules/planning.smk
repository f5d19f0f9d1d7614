# What a run would take, before it is started. The target has no outputs: it is asked again each time.


localrules:
    plan,


rule plan:
    log:
        f"{LOGS}/plan.log",
    conda:
        "../envs/python.yaml"
    params:
        options=told("--output", f"{FOLDER}/plan", *deadline()),
    message:
        "What a run would take"
    shell:
        "python scripts/plan_study.py {params.options:q} 2>&1 | tee {log:q}"
