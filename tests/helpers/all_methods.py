"""A study with every method whose weights are made here; its models are for the tests to name."""

from helpers import house
from joulegrid.study.methods import METHODS

CALIBRATION = {"text": "config/texts/calibration.txt", "samples": 4, "tokens": 64}
RECOVERY = {"method": "lora", "text": "config/texts/calibration.txt", "steps": 2, "tokens": 64}
BLOCKS = {"method": "blocks", "channels": 0.5, "heads": 0.5, "calibration": CALIBRATION}
TRAINING = {
    "method": "lora",
    "precision": "float32",
    "epochs": 1,
    "batch_size": 2,
    "sequence_length": 400,
    "too_long": "truncate",
    "data": {
        "file": "config/data/saf/saf.jsonl",
        "template": "{verification}: ",
        "answer": "feedback",
        "limit": 6,
    },
}
# What a training is not combined with here
BUT_PLAIN = {
    "pruning": ["magnitude", "wanda", "sparsegpt", "layers", "blocks", "taylor"],
    "quantization": ["int8", "nf4", "gptq", "awq", "fp8", "gguf"],
}
STUDY = {
    "study": "watched",
    "training": {"none": {"method": "none"}, "lora": TRAINING},
    "pruning": {
        "none": {"method": "none"},
        "magnitude": {"method": "magnitude", "pattern": "2:4"},
        "wanda": {"method": "wanda", "ratio": 0.5, "calibration": CALIBRATION},
        "sparsegpt": {"method": "sparsegpt", "ratio": 0.5, "calibration": CALIBRATION},
        "layers": {
            "method": "layers",
            "ratio": 0.5,
            "calibration": CALIBRATION,
            "recovery": RECOVERY,
        },
        "blocks": BLOCKS,
        "taylor": {**BLOCKS, "importance": "taylor"},
    },
    "quantization": {
        "fp32": {"method": "cast", "dtype": "float32"},
        "int8": {"method": "llm-int8", "compute_dtype": "float32"},
        "nf4": {"method": "bitsandbytes-4bit", "compute_dtype": "float32"},
        "gptq": {
            "method": "gptq",
            "bits": 4,
            "group_size": 32,
            "calibration": CALIBRATION,
            "compute_dtype": "float32",
            "kernel": "gptq_torch_aten",
        },
        "awq": {
            "method": "awq",
            "group_size": 32,
            "calibration": CALIBRATION,
            "compute_dtype": "float32",
        },
        "fp8": {"method": "fp8", "compute_dtype": "float32"},
        "gguf": {"method": "gguf", "type": "Q8_0"},
    },
    "hardware": {"here": {"device": "cpu", "threads": 1}},
    "engine": {
        "transformers": {"method": "transformers", "batch_size": 2},
        "llamacpp": {"method": "llamacpp"},
        "vllm": {"method": "vllm", "max_num_seqs": 2, "enforce_eager": True},
    },
    "workload": {"questions": house.TWO_PROMPTS},
    "grid": {
        "include": [
            {"pruning": "none"},
            {"quantization": "fp32", "engine": "transformers"},
        ],
        # loading takes vLLM a minute, and no code of ours differs by what it loads
        "exclude": [
            {"engine": "vllm", "quantization": ["nf4", "gptq", "awq", "fp8"]},
            # so that llama.cpp answers the questions of a task
            {"engine": "transformers", "quantization": "gguf"},
            {"training": "lora", "pruning": BUT_PLAIN["pruning"]},
            {"training": "lora", "quantization": BUT_PLAIN["quantization"]},
            {"training": "lora", "engine": ["llamacpp", "vllm"]},
        ],
    },
    "protocol": {
        "sessions": 1,
        "min_seconds": 0.2,
        "max_windows": 1,
        "idle_seconds": 0.2,
        "disturbed": "accept",
        "phases": True,
    },
    "quality": {
        "text": house.SHORT_TEXT,
        "facts": {"method": "lm-eval", "task": "facts", "folder": "config/tasks/facts"},
        "saf": {
            "method": "generation",
            "data": "config/data/saf/questions.jsonl",
            "template": "{question}",
            "limit": 2,
            "new_tokens": 4,
            "chat": False,
            "metrics": list(METHODS["metric"]),
            "wordnet": str(house.ROOT / "tests/data/wordnet"),
        },
    },
    "ranking": {"baseline": {"quantization": "fp32"}},
}
