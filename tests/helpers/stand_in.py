"""Plays the compute scripts: writes a record with the spec it was given and plausible numbers."""

import itertools
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
    marks = ("config.json", "made.json", f"{spec.get('made_from')}.json")
    assert any((there / mark).exists() for mark in marks), f"{there}: nothing is there"
HOW = {"basis": "estimated", "method": "stand-in"}
METERED = {
    "seconds": 2.0,
    "energy_j": {"cpu": 8.0, "gpu": 0.0, "ram": 1.0},
    "basis": {"cpu": HOW, "gpu": {"basis": "absent", "method": "none"}, "ram": HOW},
}
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
    workload = spec["workload"]
    keys = [key for key in ("concurrency", "prompt_tokens", "new_tokens") if key in workload]
    swept = [v if isinstance(v, list) else [v] for v in (workload[key] for key in keys)]
    points = [dict(zip(keys, values, strict=True)) for values in itertools.product(*swept)]
    windows = [
        {
            **({"point": number} if len(points) > 1 else {}),
            "seconds": 2.0,
            "energy_j": {
                "cpu": (size + spec["session"]) * longer,
                "gpu": 0.0,
                "ram": 1.0 * longer,
            },
            "codecarbon_j": {"cpu": 2.0 * size, "gpu": 0.0, "ram": 2.0},
            "foreign_cpu": 0.01,
            "neighbours_cpu": None,
            "runs": 1,
            "requests": 2,
            "tokens_read": 2 * point.get("prompt_tokens", 5),
            "tokens_written": 8 * longer,
        }
        for number, point in enumerate(points)
        for longer in [point["new_tokens"] // points[0]["new_tokens"]]
        for _ in range(3)
    ]
    record |= {
        "components": METERED["basis"],
        "device": {"cpu": "stand-in", "gpus": []},
        "windows": windows,
        "points": [
            {
                "prompt_tokens": point.get("prompt_tokens"),
                "new_tokens": point["new_tokens"],
                "at_once": point.get("concurrency"),
                "status": "ok",
                "lengths": {
                    "tokens_read": [point.get("prompt_tokens", 5)] * 2,
                    "tokens_written": [point["new_tokens"]] * 2,
                },
            }
            for point in points
        ],
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
    higher["documents"] = "d" * 64
    record["metrics"] = {name: lower if name == "perplexity" else higher for name in names}
elif script == "generate_texts":
    if "guide" in spec:
        guide = json.loads(Path(options["--guide"], f"{spec['guide']}.json").read_text())
        assert guide["status"] == "ok"
    counts = {"questions": 4, "too_long": 1, "leaked": 0, "empty": 0, "cut": 0}
    tokens = {"tokens_read": 50 if "guide" in spec else 10, "tokens_written": 5}
    answers = [{"line": n, "text": "a" * n * size, **tokens} for n in (1, 2, 4)]
    record |= {"counts": counts, "lines": [1, 2, 3, 4], "answers": answers, "cost": METERED}
elif script == "score_texts":
    texts = json.loads((there / f"{spec['made_from']}.json").read_text())
    lengths = {answer["line"]: len(answer["text"]) for answer in texts["answers"]}
    total = [float(lengths.get(line, 0)) for line in texts["lines"]]
    weight = [int(line in lengths) for line in texts["lines"]]
    metric = {
        "value": sum(total) / sum(weight),
        "stderr": 0.1,
        "higher_is_better": True,
        "samples": {"link": "mean", "total": total, "weight": weight},
    }
    names = {"rouge": ["rouge1", "rouge2", "rougeL"]}.get(spec["metric"]["method"])
    record["metrics"] = dict.fromkeys(names or [spec["metric"]["method"]], metric)
    record["signature"] = "stand-in"
elif script == "judge_answers":
    endpoint = json.loads(options["--endpoint"])
    assert endpoint["endpoint"].startswith("http://"), "where it is asked is told"
    texts = json.loads((there / f"{spec['made_from']}.json").read_text())
    baseline = json.loads(Path(options["--baseline"]).read_text())
    assert baseline["id"] == spec["baseline"]
    replies = [{"text": "[[A>>B]]", "finish": "stop"}, {"text": "[[B>A]]", "finish": "stop"}]
    record["judgments"] = [
        {"line": one["line"], "own": one["text"], "baseline": other["text"], "replies": replies}
        for one, other in zip(texts["answers"], baseline["answers"], strict=True)
    ]
    local, count = endpoint["local"], 2 * len(record["judgments"])
    record |= {
        "lines": texts["lines"],
        "usage": {"cost_usd": None},
        "judge": {"local": local, "replies": count, "metered": count if local else 0},
        **({"cost": METERED} if local else {}),
    }
output.parent.mkdir(parents=True, exist_ok=True)
output.write_text(json.dumps(record))
