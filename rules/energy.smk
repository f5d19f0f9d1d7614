# Measure the energy of every cell, session by session. One rule per hardware entry: a Slurm job array takes the
# resources of its first task for all, and must therefore never span two partitions.
for hardware in STUDY.labels("hardware"):
    CELL = f"{{model}}/{{training}}/{{pruning}}/{{quantization}}/{hardware}/{{engine}}/{{workload}}"
    ENERGY = f"energy/{CELL}/{{session}}/{{id}}"

    rule:
        name:
            f"measure_energy_{hardware}"
        input:
            if_in_time(weights_for(ENERGY)),
        output:
            f"results/{ENERGY}.json",
        log:
            f"{LOGS}/{ENERGY}.log",
        priority: session_by_session(ENERGY)
        conda:
            "../envs/python.yaml"
        threads: threads_of(SITE.hardware(hardware))
        resources:
            **in_turn(ENERGY, hardware, of_hardware(hardware)),
        params:
            command=command("measure_energy", ENERGY, of_method("engine", hardware), with_samples),
        message:
            "Measure {output}"
        shell:
            f"{OFFLINE} {{params.command}} > {{log:q}} 2>&1"


COMPUTE_RULES = {
    "fetch_model",
    "fetch_weights",
    "train_model",
    "merge_training",
    "prune_weights",
    "quantize_weights",
    "evaluate_quality",
    "generate_texts",
    "score_texts",
    "judge_answers",
    *(f"measure_energy_{hardware}" for hardware in STUDY.labels("hardware")),
}
