"""What the report says of a machine that was disturbed."""

from helpers import replayed
from joulegrid.report import steadiness


def test_weights_that_were_made_while_disturbed_are_named(tmp_path):
    reason = "other processes used 30% of the CPUs"
    cost = {"seconds": 60.0, "energy_j": {"cpu": 900.0}}

    def weights(job):
        disturbed = {"disturbed": [reason]} if job.labels[0] == "llama-7b" else {}
        return {"parameters": 1, "bytes": 1.0, "cost": {**cost, **disturbed}}

    value = {"value": 1.0, "stderr": None, "higher_is_better": False}
    written = {
        "energy": lambda _: replayed.session({"cpu": 3.0, "gpu": 0.0, "ram": 1.0}, 1.0, 4),
        "quality": lambda job: {"metrics": {replayed.QUALITY[job.labels[-1]][0]: value}},
        "weights": weights,
    }
    found = replayed.replay(tmp_path, replayed.DOSQUET, written)
    assert steadiness.making(found.tree["weights"].to_dataset()) == [
        f"made while disturbed: llama-7b, none, none, compressed: {reason}"
    ]
