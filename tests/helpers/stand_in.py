"""Plays the compute scripts: writes a record with the spec it was given and plausible numbers."""

import json
import math
import sys
from pathlib import Path

script = Path(sys.argv[1]).stem
options = dict(zip(sys.argv[2::2], sys.argv[3::2], strict=True))
spec = json.loads(options["--spec"])
output = Path(options["--output"])
bits = {
    "cast": 32,
    "llm-int8": 8,
    "bitsandbytes-4bit": 4,
    "gptq": spec.get("quantization", {}).get("bits", 4),
}
size = bits.get(spec["quantization"]["method"], 8) if "quantization" in spec else 32
record = {
    "schema_version": 2,
    "status": "ok",
    "spec": spec,
    "id": output.stem,
    "started": "2026-01-01T00:00:00+00:00",
    "elapsed_s": 36.0,
    "host": "stand-in",
    "git_commit": "0" * 40,
}
if "--source" in options:
    there = Path(options["--source"])
    assert (there / "config.json").exists() or (there / "made.json").exists(), (
        f"{there}: no weights there"
    )
MAKING = ("prune_weights", "quantize_weights", "fetch_weights", "train_model", "merge_training")
if script in ("fetch_model", *MAKING):
    weights = Path(options["--weights"])
    weights.mkdir(parents=True, exist_ok=True)
    (weights / "config.json").write_text("{}")
    if script != "fetch_model":
        (weights / "made.json").write_text(
            json.dumps({"schema_version": 2, "status": "ok", "files": {"config.json": 2}})
        )
        record["cost"] = {"seconds": 1.0, "energy_j": {"cpu": 2.0, "gpu": 0.0, "ram": 1.0}}
    if script == "train_model":
        cost = record["cost"]
        before = 0
        if "--shorter" in options:
            before = len(list(Path(options["--shorter"]).glob("epoch-*")))
        epochs = spec["training"]["epochs"]
        for number in range(1, epochs + 1):
            (weights / f"epoch-{number}").mkdir(exist_ok=True)
        record |= {
            "epochs": [
                {
                    **cost,
                    "epoch": number,
                    "codecarbon_j": cost["energy_j"],
                    "basis": {"cpu": "estimated", "gpu": "absent", "ram": "estimated"},
                    "host": "stand-in",
                    "training_loss": 3.0 / number,
                    "validation_loss": 3.5 / number,
                    "validation": cost,
                    "tokens_per_s": 50.0,
                    "memory_bytes": {"ram": 1000},
                    **({"shared_with": "0" * 16} if number <= before else {}),
                }
                for number in range(1, epochs + 1)
            ],
            "lost": [{"epoch": 1, **cost}],
            "used": cost,
            "device": {"cpu": "stand-in", "gpus": []},
            "validation_loss": 4.0,
            "trainable_parameters": 10,
            "data": {
                "training_samples": 9,
                "validation_samples": 1,
                "tokens": 100,
                "answer_tokens": 40,
                "sample_tokens": [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0],
                "counted": {"too_long": 1},
            },
        }
        record["cost"] = {"seconds": 2.0 * epochs, "energy_j": {"cpu": 6.0 * epochs}}
    if script == "merge_training":
        record["validation_loss"] = 1.0
    record |= {"bytes": 125 * size} | ({"parameters": 1000} if script == "fetch_model" else {})
elif script == "measure_energy":
    windows = [
        {
            "seconds": 2.0,
            "energy_j": {"cpu": size + spec["session"], "gpu": 0.0, "ram": 1.0},
            "codecarbon_j": {"cpu": 2.0 * size, "gpu": 0.0, "ram": 2.0},
            "foreign_cpu": 0.01,
            "neighbours_cpu": None,
            "runs": 1,
            "tokens_read": 10,
            "tokens_written": 8,
        }
        for _ in range(3)
    ]
    how = {"basis": "estimated", "method": "stand-in"}
    record |= {
        "components": {"cpu": how, "gpu": {"basis": "absent", "method": "none"}, "ram": how},
        "device": {"cpu": "stand-in", "gpus": []},
        "windows": windows,
        "reference_s": 0.5,
        "warnings": [],
        "idle": {
            key: {"power_w": {"cpu": 1.0, "gpu": 0.0, "ram": 1.0}}
            for key in ("before", "loaded", "end")
        },
        "loading": {"seconds": 1.0, "energy_j": {"cpu": 1.0, "gpu": 0.0, "ram": 1.0}},
        "memory_bytes": {"ram": 1000},
        "weights_bytes": 125 * size,
        "kernels": {"Linear": 2},
        "settings": {"attention": "sdpa"},
    }
elif script == "evaluate_quality":
    names = (
        ["perplexity"] if spec["quality"]["method"] == "perplexity" else spec["quality"]["metrics"]
    )
    value = 20.0 + 4 / size
    pieces = {"link": "exp", "total": [math.log(value) * 64] * 3, "weight": [64] * 3}
    lower = {"value": value, "stderr": 0.1, "higher_is_better": False, "samples": pieces}
    answers = {"link": "mean", "total": [0, 1, 1, 0], "weight": None}
    higher = {"value": 0.5, "stderr": 0.3, "higher_is_better": True, "samples": answers}
    record["metrics"] = {name: lower if name == "perplexity" else higher for name in names}
output.parent.mkdir(parents=True, exist_ok=True)
output.write_text(json.dumps(record))
