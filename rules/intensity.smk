# Carbon intensity from open services. It needs the internet and has no outputs: a study names the file that it writes.


localrules:
    fetch_intensity,


rule fetch_intensity:
    log:
        f"{LOGS}/fetch_intensity.log",
    conda:
        "../envs/python.yaml"
    params:
        wanted=what_to_fetch,
    message:
        "Carbon intensity of a zone and year"
    shell:
        "python scripts/fetch_intensity.py {params.wanted:q} 2>&1 | tee {log:q}"
