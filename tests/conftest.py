"""What all tests share: a small valid study, and the repository's paths."""

import copy
import importlib.util
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
# tests/compute runs in the environment of the compute jobs (make test runs both)
collect_ignore = [] if importlib.util.find_spec("torch") else ["compute"]

STUDY = {
    "study": "small",
    "model": {"tiny": {"path": "config/schemas"}},
    "pruning": {"none": {"method": "none"}, "half": {"method": "magnitude", "ratio": 0.5}},
    "quantization": {
        "fp32": {"method": "cast", "dtype": "float32"},
        "nf4": {"method": "nf4"},
        "gptq4": {"method": "gptq", "bits": 4, "calibration": {"text": "config/texts/calibration.txt"}},
    },
    "hardware": {"here": {"device": "cpu"}, "there": {"device": "cpu", "pue": 1.5}},
    "engine": {"transformers": {"method": "transformers"}},
    "workload": {"questions": {"prompts": "config/prompts/questions.jsonl", "new_tokens": 8}},
    "quality": {
        "text": {"method": "perplexity", "text": "config/texts/evaluation.txt"},
        "facts": {"method": "lm-eval", "task": "facts", "folder": "config/tasks/facts"},
    },
    "ranking": {"weight": 0.7, "baseline": {"quantization": "fp32"}},
    "carbon": {"zones": {"DEU": {}, "BE": {"intensity_g_per_kwh": 153.14, "source": "Dosquet 2025"}}},
}


@pytest.fixture
def study_data() -> dict:
    return copy.deepcopy(STUDY)


@pytest.fixture
def study_file(tmp_path):
    """A function that writes a study and gives its path."""

    def write(data: dict) -> Path:
        path = tmp_path / "study.yaml"
        path.write_text(yaml.safe_dump(data, sort_keys=False), encoding="utf-8")
        return path

    return write
