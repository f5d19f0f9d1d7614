# What a run would take, before it is started. These targets have no outputs: they are asked again each time.


localrules:
    plan,
    pilot,


rule plan:
    log:
        f"{LOGS}/plan.log",
    conda:
        "../envs/python.yaml"
    params:
        options=told(
            *("--output", f"{FOLDER}/plan", "--jobs", at_a_time()),
            *deadline(),
            *of_part(),
        ),
    message:
        "What a run would take"
    shell:
        "python scripts/plan_study.py {params.options:q} 2>&1 | tee {log:q}"


# Measure what makes the plan surest, then say what it is now
use rule plan as pilot with:
    input:
        pilot_records,
    log:
        f"{LOGS}/pilot.log",
    message:
        "What a run would take, after a pilot"
