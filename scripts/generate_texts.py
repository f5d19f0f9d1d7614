"""Let one configuration answer the questions of one quality task."""

from joulegrid.jobs import run
from joulegrid.quality.cost import evaluated
from joulegrid.quality.task import generate_texts


def main(arguments, spec):
    """Write the answers, and how many of them a reader must be told of; or why it cannot run."""
    result = evaluated(arguments, spec, generate_texts)
    run.say(f"counts: {result.get('counts')}")


if __name__ == "__main__":
    run.run(main, "source", "output")
