# From the records of the jobs to one dataset, and from it to ranking, carbon, figures and the report.
# {folder} is results/STUDY, or results/STUDY/partial for what the target `partial` makes of an unfinished study.


localrules:
    merge_measurements,
    merge_partial,
    analyse_study,
    draw_figures,
    write_report,
    partial,


wildcard_constraints:
    folder=one_of([RESULTS, f"{RESULTS}/partial"]),


rule merge_measurements:
    input:
        CELL_RECORDS,
        QUALITY_RECORDS,
    output:
        f"{RESULTS}/measurements.nc",
    log:
        f"{LOGS}/merge_measurements.log",
    conda:
        "../envs/python.yaml"
    params:
        spec=spec(SPECS.merge),
    message:
        "Merge all records"
    shell:
        f"python scripts/merge_measurements.py --spec {{params.spec:q}} --results {RESULTS}"
        " --output {output:q} > {log:q} 2>&1"


# Not an input: what is not there shall stay missing, so the records are looked at when the rule runs.
rule merge_partial:
    output:
        measurements=f"{RESULTS}/partial/measurements.nc",
        missing=f"{RESULTS}/partial/missing.csv",
    log:
        f"{LOGS}/merge_partial.log",
    conda:
        "../envs/python.yaml"
    params:
        spec=spec(SPECS.merge),
        found=lambda wildcards: records_found(),
    message:
        "Merge the records that are there"
    shell:
        f"python scripts/merge_measurements.py --spec {{params.spec:q}} --results {RESULTS}"
        " --missing {output.missing:q} --output {output.measurements:q} > {log:q} 2>&1"


rule analyse_study:
    input:
        "{folder}/measurements.nc",
    output:
        study="{folder}/study.nc",
        ranking=report("{folder}/ranking.csv", category="Tables", caption="../docs/captions/ranking.rst"),
        carbon=report("{folder}/carbon.csv", category="Tables", caption="../docs/captions/carbon.rst"),
    log:
        "{folder}/logs/analyse_study.log",
    conda:
        "../envs/python.yaml"
    params:
        spec=spec(SPECS.analysis),
    message:
        "Rank, and account CO2"
    shell:
        "python scripts/analyse_study.py --spec {params.spec:q} --measurements {input:q} --study {output.study:q}"
        " --ranking {output.ranking:q} --carbon {output.carbon:q} > {log:q} 2>&1"


rule draw_figures:
    input:
        "{folder}/study.nc",
    output:
        [
            report(f"{{folder}}/figures/{figure}.svg", category="Figures", caption=f"../docs/captions/{figure}.rst")
            for figure in FIGURES
        ],
        charts="{folder}/figures/charts.json",
    log:
        "{folder}/logs/draw_figures.log",
    conda:
        "../envs/python.yaml"
    params:
        spec=spec(SPECS.figures),
    message:
        "Draw the figures"
    shell:
        "python scripts/draw_figures.py --spec {params.spec:q} --study {input:q} --charts {output.charts:q}"
        " > {log:q} 2>&1"


rule write_report:
    input:
        study="{folder}/study.nc",
        charts="{folder}/figures/charts.json",
    output:
        report("{folder}/report.html", category="Report", caption="../docs/captions/report.rst"),
    log:
        "{folder}/logs/write_report.log",
    conda:
        "../envs/python.yaml"
    params:
        spec=spec(SPECS.report),
    message:
        "Write {output}"
    shell:
        "python scripts/write_report.py --spec {params.spec:q} --study {input.study:q} --charts {input.charts:q}"
        " --output {output:q} > {log:q} 2>&1"


# What an unfinished study has so far.
rule partial:
    input:
        f"{RESULTS}/partial/missing.csv",
        [path.replace(RESULTS, f"{RESULTS}/partial", 1) for path in STUDY_OUTPUTS],
