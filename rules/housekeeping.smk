# Keeping results through upgrades, and finding those that nobody needs any more. These targets have no outputs.


localrules:
    accept,
    retract,
    unused,


CONFIGFILES = workflow.config_settings.configfiles or ["config/config.yaml"]
SITE_OPTION = ["--site", STUDY.data["site"]] if "site" in STUDY.data else []


rule accept:
    log:
        f"{LOGS}/accept.log",
    conda:
        "../envs/python.yaml"
    params:
        options=[
            *("--configfile", *CONFIGFILES, *SITE_OPTION),
            *(["--reason", str(config["accept"])] if config.get("accept") else []),
        ],
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
        options=["--configfile", *CONFIGFILES, *SITE_OPTION, "--retract"],
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
        options=["--configfile", *CONFIGFILES, *SITE_OPTION],
    message:
        "Results that no study names"
    shell:
        "python scripts/list_unused.py {params.options:q} 2>&1 | tee {log:q}"
