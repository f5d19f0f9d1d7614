"""Obtain a model and write down what it is."""

from pathlib import Path

from joulegrid import jobs
from joulegrid.methods import implementation, model_source
from joulegrid.models.describe import describe
from joulegrid.records import OK, provenance, write_json


def main(arguments, spec):
    """Write {path, source, parameters, bytes, architecture, context_length …} of the spec's model."""
    entry = spec["model"]
    source = model_source(entry)
    jobs.say(f"fetching {entry[source]}")
    made = provenance(("transformers", "huggingface-hub", "torch", "gguf"))
    folder = implementation("models", source).fetch(entry, Path(arguments.weights).resolve())
    facts = describe(folder)
    jobs.say(f"{facts['architecture']}, {facts['parameters']:,} parameters, {facts['bytes']:,} bytes")
    identity = {key: entry[key] for key in ("revision", "sha256", "files") if key in entry}
    write_json(
        arguments.output,
        {
            **made,
            "spec": spec,
            "status": OK,
            "weights": str(folder),
            "source": source,
            "identity": identity,
            **facts,
        },
    )


if __name__ == "__main__":
    jobs.run(main, "weights", "output")
