# Measure the energy of every cell. One rule per hardware entry: a Slurm job array takes the resources of its first
# task for all, and must therefore never span two partitions.
for hardware in STUDY.labels("hardware"):

    rule:
        name:
            f"measure_energy_{hardware}"
        input:
            checkpoint=f"{RESULTS}/checkpoints/{CONFIGURATION}/checkpoint.json",
        output:
            f"{RESULTS}/energy/{CONFIGURATION}/{{hardware}}/{{engine}}/{{workload}}.json",
        log:
            f"{LOGS}/measure_energy/{CONFIGURATION}/{{hardware}}/{{engine}}/{{workload}}.log",
        wildcard_constraints:
            hardware=one_of([hardware]),
        conda:
            "../envs/python.yaml"
        threads: threads_of(SITE.hardware(hardware))
        resources:
            **SITE.hardware(hardware),
        params:
            spec=cell_spec,
            python=engine_python,
        message:
            "Measure {output}"
        shell:
            f"{OFFLINE} {{params.python}} scripts/measure_energy.py --spec {{params.spec:q}} --checkpoint {{input.checkpoint:q}}"
            " --output {output:q} > {log:q} 2>&1"
