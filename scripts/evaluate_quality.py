"""Evaluate one quality task on one configuration."""

from joulegrid.jobs import run
from joulegrid.quality.cost import evaluated
from joulegrid.quality.task import evaluate_task


def main(arguments, spec):
    """Write {metric: {value, stderr, higher_is_better}}; or why it cannot run here."""
    result = evaluated(arguments, spec, lambda *told: {"metrics": evaluate_task(*told)})
    for name, metric in result.get("metrics", {}).items():
        run.say(f"{name}: {metric['value']}")


if __name__ == "__main__":
    run.run(main, "source", "output")
