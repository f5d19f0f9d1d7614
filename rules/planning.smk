# What a run would take, before it is started. The target has no outputs: it is asked again each time.


localrules:
    plan,


def at_a_time():
    """How many jobs run at once: what --config jobs says, else --jobs of a cluster; on this machine measurements
    run one by one.
    """
    asked = config.get("jobs", workflow.resource_settings.nodes or 1)
    if not re.fullmatch("[1-9][0-9]*", str(asked)):
        raise WorkflowError(f"--config jobs={asked}: expected a whole number of jobs, 1 or more")
    return str(asked)


rule plan:
    log:
        f"{LOGS}/plan.log",
    conda:
        "../envs/python.yaml"
    params:
        options=told("--output", f"{FOLDER}/plan", "--jobs", at_a_time()),
    message:
        "What a run would take"
    shell:
        "python scripts/plan_study.py {params.options:q} 2>&1 | tee {log:q}"
