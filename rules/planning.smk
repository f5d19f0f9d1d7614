# What a run would take, before it is started. These targets have no outputs: they are asked again each time.


localrules:
    plan,
    pilot,


def pilot_records(wildcards):
    """The records of the few sessions that narrow the plan most, which are not there."""
    # it imports what fits and chooses, which takes longer than planning a run: only for this target
    from joulegrid.planning.cells import first_sessions

    return [f"results/{job.path}.json" for job in SHELF.missing(first_sessions(SPECS, UNFIT))]


rule plan:
    log:
        f"{LOGS}/plan.log",
    conda:
        "../envs/python.yaml"
    params:
        options=told("--output", f"{FOLDER}/plan"),
    message:
        "What a run would take"
    shell:
        "python scripts/plan_study.py {params.options:q} 2>&1 | tee {log:q}"


# Measure what makes the plan surest, then say what it is now
rule pilot:
    input:
        pilot_records,
    log:
        f"{LOGS}/pilot.log",
    conda:
        "../envs/python.yaml"
    params:
        options=told("--output", f"{FOLDER}/plan"),
    message:
        "What a run would take, after a pilot"
    shell:
        "python scripts/plan_study.py {params.options:q} 2>&1 | tee {log:q}"
