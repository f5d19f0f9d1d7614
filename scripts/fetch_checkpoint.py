"""Obtain weights that somebody else quantized, from the hub or a folder."""

import json
from pathlib import Path

from joulegrid import jobs
from joulegrid.methods import implementation, model_source
from joulegrid.models.describe import describe
from joulegrid.records import OK, InputError, provenance, read_json, write_json


def main(arguments, spec):
    """Write {weights, bytes, parameters, quantization as the weights' own configuration describes it}."""
    made = provenance(("huggingface-hub",))
    entry = spec["checkpoint"]
    folder = implementation("models", model_source(entry)).fetch(entry, Path(arguments.weights).resolve())
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    if "quantization_config" not in config:
        raise InputError(
            f"{folder}: config.json has no quantization_config: these weights are not quantized; take them as a model"
        )
    facts = {"weights": str(folder), "stored": "copy", **describe(folder)}
    # packed integers hold several weights each: the model that they were made from has the count
    facts["parameters"] = read_json(arguments.made_from)["parameters"]
    write_json(arguments.output, {**made, "spec": spec, "status": OK, "notes": config["quantization_config"], **facts})


if __name__ == "__main__":
    jobs.run(main, "made-from", "weights", "output")
