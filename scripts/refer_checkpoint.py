"""The checkpoint of a method that quantizes while loading: a reference to the weights it is made from."""

from joulegrid import jobs
from joulegrid.records import OK, provenance, read_json, write_json
from joulegrid.weights import finding_of, require_weights

COPIED = ("weights", "architecture", "parameters", "bytes", "context_length")


def main(arguments, spec):
    """Write {weights, stored: reference, parameters, bytes, sparsity …}; or the finding of the weights' own making."""
    source = read_json(arguments.made_from)
    result = finding_of(source)
    if result is None:
        require_weights(source, arguments.made_from)
        copied = [*COPIED, "sparsity"] if spec["quantization"]["method"] == "cast" else COPIED  # 8 and 4 bits add zeros
        result = {"status": OK, "stored": "reference", **{key: source[key] for key in copied if key in source}}
    write_json(arguments.output, {**provenance(), "spec": spec, **result})


if __name__ == "__main__":
    jobs.run(main, "made-from", "output")
