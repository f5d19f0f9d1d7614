"""Obtain weights that somebody else quantized, from the hub or a folder."""

import json

from joulegrid.errors import InputError
from joulegrid.jobs import run, weights
from joulegrid.jobs.implementation import implementation
from joulegrid.models.files import stored_bytes
from joulegrid.records import OK


def main(arguments, spec):
    """Write {bytes, notes: the quantization as the weights' own configuration describes it}."""
    made = run.begin("huggingface-hub")
    entry = spec["source"]
    with weights.new_folder(arguments.weights) as folder:
        implementation("models", "hub" if "hub" in entry else "path").fetch(entry, folder)
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        if "quantization_config" not in config:
            name = entry["hub"] if "hub" in entry else entry["path"]["path"]
            raise InputError(
                f"{name}: config.json has no quantization_config: these weights are not "
                "quantized; take them as a model"
            )
        facts = {
            "status": OK,
            "bytes": stored_bytes(folder),
            "notes": config["quantization_config"],
        }
        content = {"sha256": entry["path"]["sha256"]} if "path" in entry else {}
        weights.seal(folder, {**facts, **content})
    run.write_record(arguments.output, spec, made, facts)


if __name__ == "__main__":
    run.run(main, "weights", "output")
