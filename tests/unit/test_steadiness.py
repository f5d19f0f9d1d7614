"""What the report says of a machine that was disturbed."""

import numpy as np

from helpers import replayed
from joulegrid.report import steadiness


def test_weights_that_were_made_while_disturbed_are_named(tmp_path):
    reason, no_number = "other processes used 30% of the CPUs", "the power is above the limit"
    cost = {"seconds": 60.0, "energy_j": {"cpu": 900.0}}

    def weights(job):
        disturbed = {"disturbed": [reason]} if job.labels[0] == "llama-7b" else {}
        if job.labels[0] == "mistral-7b":
            disturbed = {"disturbed": [no_number], "wrong": [no_number]}
        return {"parameters": 1, "bytes": 1.0, "cost": {**cost, **disturbed}}

    value = {"value": 1.0, "stderr": None, "higher_is_better": False}
    written = {
        "energy": lambda _: replayed.session({"cpu": 3.0, "gpu": 0.0, "ram": 1.0}, 1.0, 4),
        "quality": lambda job: {"metrics": {replayed.QUALITY[job.labels[-1]][0]: value}},
        "weights": weights,
    }
    found = replayed.replay(tmp_path, replayed.DOSQUET, written)
    weights = found.tree["weights"].to_dataset()
    assert steadiness.making(weights) == [
        f"made while disturbed: llama-7b, none, none, compressed: {reason}",
        f"made while disturbed: mistral-7b, none, none, compressed: {no_number}; what making it "
        "took is not known",
    ]
    energy = weights.making_energy.sel(quantization="compressed").squeeze()
    assert energy.sel(model="llama-7b") == 900, "what disturbed it is said, and it counts"
    assert np.isnan(energy.sel(model="mistral-7b"))
