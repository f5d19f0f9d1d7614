"""Let one configuration answer the questions of one quality task."""

from importlib import import_module
from pathlib import Path

from joulegrid.jobs import run
from joulegrid.quality.cost import evaluated
from joulegrid.records import read_json


def main(arguments, spec):
    """Write the answers, and how many of them a reader must be told of; or why it cannot run."""
    result = evaluated(arguments, spec, worker(arguments, spec))
    run.say(f"counts: {result.get('counts')}")


def worker(arguments, spec):
    """What generates: transformers, or the engine of the spec; each has its environment."""
    if "engine" in spec:
        work = import_module("joulegrid.quality.answering").answer_questions
    else:
        work = import_module("joulegrid.quality.task").generate_texts
    if "guide" not in spec:
        return work
    guided = import_module("joulegrid.quality.guiding").answer_guided
    return guided(read_json(Path(arguments.guide, f"{spec['guide']}.json")), work)


if __name__ == "__main__":
    run.run(main, "source", "output", optional=("guide",))
