# Keeping results through upgrades, and finding those that nobody needs any more. These targets have no outputs.


localrules:
    accept,
    retract,
    unused,


REASON = config.get("accept")
STUDY_FILES = workflow.config_settings.configfiles or ["config/config.yaml"]


rule accept:
    log:
        f"{LOGS}/accept.log",
    conda:
        "../envs/python.yaml"
    params:
        options=of_whole(
            told(
                *("--command", command_of("accept", "accept=the reason")),
                *("--undo", command_of("retract")),
                *(["--reason", str(REASON)] if REASON else []),
            )
        ),
    message:
        "Records that an upgrade left behind"
    shell:
        "python scripts/accept_records.py {params.options:q} 2>&1 | tee {log:q}"


rule retract:
    log:
        f"{LOGS}/retract.log",
    conda:
        "../envs/python.yaml"
    params:
        options=of_whole(told("--retract")),
    message:
        "Take back what was accepted"
    shell:
        "python scripts/accept_records.py {params.options:q} 2>&1 | tee {log:q}"


rule unused:
    log:
        f"{LOGS}/unused.log",
    conda:
        "../envs/python.yaml"
    params:
        options=of_whole(told("--parts", *map(str, STUDY_FILES))),
    message:
        "Results that no study names"
    shell:
        "python scripts/list_unused.py {params.options:q} 2>&1 | tee {log:q}"
