# From the records of the jobs to one dataset, and from it to comparison, carbon, figures and the report.
#
# Outputs have plain names. A stamp beside them, named after the spec they were made from, says that they are right; no
# file times count. Where a record has to be made, everything behind it is made again.
FIGURES = {
    "energy_quality": "Energy against quality",
    "weight_sensitivity": "Who wins at which weight",
    "metric_changes": "Quality, metric by metric",
    "energy_components": "Energy by component",
    "carbon_zones": "CO2e by zone",
}
# Where a workload has several points, what a token costs is told from them
SWEEPS = any(number_of(entry) > 1 for entry in STUDY.data["workload"].values())
# What says which trained models go on, where a study selects
SELECTION = f"--selection {FOLDER}/{selection.FILE}" if LOOPS is not None else ""


localrules:
    merge_measurements,
    analyse_study,
    draw_figures,
    write_report,
    partial,
    export,
    combine,


rule merge_measurements:
    input:
        records_for("merge"),
    output:
        measurements=f"{FOLDER}/measurements.nc",
        stamp=stamp_of("merge"),
    log:
        f"{FOLDER}/logs/merge_measurements.log",
    conda:
        "../envs/python.yaml"
    params:
        spec=lambda wildcards: checked(CONCLUSIONS["merge"].spec),
        selection=SELECTION,
    message:
        "Merge all records"
    shell:
        "python scripts/merge_measurements.py --spec {params.spec:q} {params.selection} --output {output.measurements:q}"
        " --stamp {output.stamp:q} > {log:q} 2>&1"


rule analyse_study:
    input:
        measurements=from_step(f"{FOLDER}/measurements.nc", "merge", "analyse"),
    output:
        **(
            {"tokens": in_report("tokens.csv", "Tables", "tokens", "Energy per token")}
            if SWEEPS
            else {}
        ),
        study=f"{FOLDER}/study.nc",
        ranking=in_report("ranking.csv", "Tables", "ranking", "Ranking of all cells"),
        carbon=in_report("carbon.csv", "Tables", "carbon", "CO2e of all cells and zones"),
        stamp=stamp_of("analyse"),
    log:
        f"{FOLDER}/logs/analyse_study.log",
    conda:
        "../envs/python.yaml"
    params:
        spec=lambda wildcards: checked(CONCLUSIONS["analyse"].spec),
        tokens=f"--tokens {FOLDER}/tokens.csv" if SWEEPS else "",
    message:
        "Rank, and account CO2"
    shell:
        "python scripts/analyse_study.py --spec {params.spec:q} --measurements {input.measurements:q} --study {output.study:q}"
        " --ranking {output.ranking:q} --carbon {output.carbon:q} {params.tokens} --stamp {output.stamp:q} > {log:q} 2>&1"


rule draw_figures:
    input:
        study=from_step(f"{FOLDER}/study.nc", "analyse", "draw"),
    output:
        [
            in_report(f"figures/{figure}.svg", "Figures", figure, title)
            for figure, title in FIGURES.items()
        ],
        charts=f"{FOLDER}/figures/charts.json",
        stamp=stamp_of("draw"),
    log:
        f"{FOLDER}/logs/draw_figures.log",
    conda:
        "../envs/python.yaml"
    params:
        spec=lambda wildcards: checked(CONCLUSIONS["draw"].spec),
    message:
        "Draw the figures"
    shell:
        "python scripts/draw_figures.py --spec {params.spec:q} --study {input.study:q} --charts {output.charts:q}"
        " --stamp {output.stamp:q} > {log:q} 2>&1"


rule write_report:
    input:
        study=from_step(f"{FOLDER}/study.nc", "analyse", "report"),
        charts=from_step(f"{FOLDER}/figures/charts.json", "draw", "report"),
    output:
        page=in_report("report.html", "Report", "report", "The answer, tables and charts"),
        stamp=stamp_of("report"),
    log:
        f"{FOLDER}/logs/write_report.log",
    conda:
        "../envs/python.yaml"
    params:
        spec=lambda wildcards: checked(CONCLUSIONS["report"].spec),
    message:
        "Write {output.page}"
    shell:
        "python scripts/write_report.py --spec {params.spec:q} --study {input.study:q} --charts {input.charts:q}"
        " --output {output.page:q} --stamp {output.stamp:q} > {log:q} 2>&1"


# For other programs and for papers. It has no outputs: it is written anew each time.
rule export:
    input:
        [f"{FOLDER}/{conclusion.stamp}" for conclusion in CONCLUSIONS.values()],
        missing_after_merge,
    log:
        f"{FOLDER}/logs/export.log",
    conda:
        "../envs/python.yaml"
    params:
        study=f"{FOLDER}/study.nc",
        folder=f"{FOLDER}/export",
    message:
        "Export to {params.folder}"
    shell:
        "python scripts/export_study.py --spec null --study {params.study:q} --folder {params.folder:q} > {log:q} 2>&1"


# Several finished studies as one. It has no outputs: it is made anew each time, from the datasets that are there.
rule combine:
    log:
        f"{FOLDER}/logs/combine.log",
    conda:
        "../envs/python.yaml"
    params:
        study=of_whole(lambda wildcards: STUDY.name),
        others=others_to_combine(),
        folder=FOLDER,
    message:
        "Combine studies"
    shell:
        "python scripts/combine_studies.py --study {params.study:q} --others {params.others:q}"
        " --output {params.folder:q}/combined.nc --ranking {params.folder:q}/combined.csv 2>&1 | tee {log:q}"


# What an unfinished study has so far. It has no outputs: it is made anew each time, from the records that are there.
rule partial:
    log:
        f"{FOLDER}/logs/partial.log",
    conda:
        "../envs/python.yaml"
    params:
        merge=of_whole(lambda wildcards: checked(CONCLUSIONS["merge"].spec)),
        analyse=lambda wildcards: checked(CONCLUSIONS["analyse"].spec),
        draw=lambda wildcards: checked(CONCLUSIONS["draw"].spec),
        report=lambda wildcards: checked(CONCLUSIONS["report"].spec),
        folder=f"{FOLDER}/partial",
        selection=SELECTION,
        tokens=f"--tokens {FOLDER}/partial/tokens.csv" if SWEEPS else "",
    message:
        "Merge and rank what is there: {params.folder}"
    shell:
        "mkdir -p {params.folder:q}/figures && ("
        "python scripts/merge_measurements.py --spec {params.merge:q} {params.selection} --missing {params.folder:q}/missing.csv"
        " --output {params.folder:q}/measurements.nc &&"
        " python scripts/analyse_study.py --spec {params.analyse:q} --measurements {params.folder:q}/measurements.nc"
        " --study {params.folder:q}/study.nc --ranking {params.folder:q}/ranking.csv --carbon {params.folder:q}/carbon.csv {params.tokens} &&"
        " python scripts/draw_figures.py --spec {params.draw:q} --study {params.folder:q}/study.nc"
        " --charts {params.folder:q}/figures/charts.json &&"
        " python scripts/write_report.py --spec {params.report:q} --study {params.folder:q}/study.nc"
        " --charts {params.folder:q}/figures/charts.json --output {params.folder:q}/report.html"
        ") > {log:q} 2>&1"
