"""Metrics of generated texts: functions of the answers and their references, and nothing else."""

from typing import Any

import numpy as np

from joulegrid.jobs.implementation import implementation
from joulegrid.quality.samples import samples, standard_error, value_of


def score(spec: dict[str, Any], generated: dict[str, Any]) -> dict[str, Any]:
    """The metrics of a method over the answers that a record holds.

    Parameters
    ----------
    generated
        the record of the texts: `answers`, and `lines` of all questions.

    Returns
    -------
    `metrics` (value, standard error, direction, samples) and the `signature` of how they were
    computed. There is a sample for every question, so that those of two configurations are the
    same questions: one that was too long to be asked weighs nothing.
    """
    entry, answers = spec["metric"], generated["answers"]
    method = implementation("quality.metrics", entry["method"])
    at = {line: n for n, line in enumerate(generated["lines"])}
    places = [at[answer["line"]] for answer in answers]
    found = {}
    metrics, signature = method.score(answers, entry)
    for name, metric in metrics.items():
        total, weight = np.zeros(len(at)), np.zeros(len(at))
        total[places], weight[places] = metric["each"], 1
        whole = len(places) == len(at)
        kept = samples("mean", total.tolist(), None if whole else weight.tolist())
        found[name] = {
            "value": value_of(kept),
            "stderr": standard_error(samples("mean", metric["each"])),
            "higher_is_better": metric["higher_is_better"],
            "samples": kept,
            **({"cut": metric["cut"]} if "cut" in metric else {}),
        }
    return {"metrics": found, "signature": signature}
