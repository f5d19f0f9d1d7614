# Which trained models go on to the second loop. What takes the measurements waits for it, and is planned anew behind it.


if LOOPS is not None:

    localrules:
        select_trained,

    checkpoint select_trained:
        input:
            records_compared,
        output:
            # first what is asked for: it is there for these choices alone
            stamp=stamp_of("select"),
            selection=f"{FOLDER}/{selection.FILE}",
        log:
            f"{FOLDER}/logs/select_trained.log",
        conda:
            "../envs/python.yaml"
        params:
            spec=lambda wildcards: checked(CONCLUSIONS["select"].spec),
            said=what_is_selected,
        message:
            "Select: {params.said}"
        shell:
            "python scripts/select_trained.py --spec {params.spec:q} --output {output.selection:q}"
            " --stamp {output.stamp:q} > {log:q} 2>&1"
