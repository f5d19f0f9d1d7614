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
    marks = ("config.json", "made.json", f"{spec.get('made_from')}.json")
    assert any((there / mark).exists() for mark in marks), f"{there}: nothing is there"
if script in ("fetch_model", "prune_weights", "quantize_weights", "fetch_weights"):
    weights = Path(options["--weights"])
    weights.mkdir(parents=True, exist_ok=True)
    (weights / "config.json").write_text("{}")
    if script != "fetch_model":
        (weights / "made.json").write_text(
            json.dumps({"schema_version": 2, "status": "ok", "files": {"config.json": 2}})
        )
        record["cost"] = {"seconds": 1.0, "energy_j": {"cpu": 2.0, "gpu": 0.0, "ram": 1.0}}
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
elif script == "generate_texts":
    counts = {"questions": 4, "too_long": 1, "leaked": 0, "empty": 0, "cut": 0}
    answers = [{"line": n, "text": "a" * n * size} for n in (1, 2, 4)]
    record |= {"counts": counts, "lines": [1, 2, 3, 4], "answers": answers}
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
    record |= {"lines": texts["lines"], "usage": {"cost_usd": None}}
output.parent.mkdir(parents=True, exist_ok=True)
output.write_text(json.dumps(record))
