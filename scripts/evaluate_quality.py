"""Evaluate one quality task on one configuration."""

from pathlib import Path

from joulegrid.jobs import run
from joulegrid.quality.cost import evaluated
from joulegrid.quality.task import evaluate_task
from joulegrid.records import SAMPLES


def main(arguments, spec):
    """Write {metric: {value, stderr, higher_is_better}}; or why it cannot run here."""
    beside = Path(arguments.output).with_suffix(SAMPLES)
    result = evaluated(arguments, spec, lambda *told: {"metrics": evaluate_task(*told, beside)})
    for name, metric in result.get("metrics", {}).items():
        run.say(f"{name}: {metric['value']}")


if __name__ == "__main__":
    run.run(main, "source", "output")
