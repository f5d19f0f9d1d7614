"""Let one configuration answer the questions of one quality task."""

from importlib import import_module

from joulegrid.jobs import run
from joulegrid.quality.cost import evaluated


def main(arguments, spec):
    """Write the answers, and how many of them a reader must be told of; or why it cannot run."""
    result = evaluated(arguments, spec, worker(spec))
    run.say(f"counts: {result.get('counts')}")


def worker(spec):
    """What generates: transformers, or the engine of the spec; each has its environment."""
    if "engine" in spec:
        return import_module("joulegrid.quality.answering").answer_questions
    return import_module("joulegrid.quality.task").generate_texts


if __name__ == "__main__":
    run.run(main, "source", "output")
