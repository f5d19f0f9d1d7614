"""What all tests share: a small valid study, and a copy of the project in which it is complete."""

import copy
import importlib.util
import shutil
from pathlib import Path

import pytest
import yaml

from helpers import house

ROOT = Path(__file__).resolve().parents[1]
# Some tests run in an environment of the compute jobs: where what they import is (make test runs
# all)
NEEDED = {
    "compute": ("transformers", "bitsandbytes"),
    "judge": ("openai",),
    "llamacpp": ("xllamacpp",),
    "vllm_cpu": ("torch", "vllm"),
    "gpu": ("torch", "transformers"),
}
collect_ignore = [
    folder for folder, names in NEEDED.items() if not all(map(importlib.util.find_spec, names))
]

STUDY = {
    "study": "small",
    "model": {"tiny": {"path": "tests/data/model"}},
    "pruning": {"none": {"method": "none"}, "half": {"method": "magnitude", "ratio": 0.5}},
    "quantization": {
        "fp32": {"method": "cast", "dtype": "float32"},
        "nf4": {"method": "bitsandbytes-4bit"},
        "gptq4": {
            "method": "gptq",
            "bits": 4,
            "calibration": {"text": "config/texts/calibration.txt"},
        },
    },
    "hardware": {"here": {"device": "cpu"}, "there": {"device": "cpu", "pue": 1.5}},
    "engine": {"transformers": {"method": "transformers"}},
    "workload": {
        "questions": {
            "method": "batch",
            "prompts": "config/prompts/questions.jsonl",
            "new_tokens": 8,
        }
    },
    "protocol": {"sessions": 2},
    "quality": {
        "text": {"method": "perplexity", "text": "config/texts/evaluation.txt"},
        "facts": {"method": "lm-eval", "task": "facts", "folder": "config/tasks/facts"},
    },
    "ranking": {"weight": 0.7, "baseline": {"quantization": "fp32"}},
    "carbon": {
        "zones": {"DEU": {}, "BE": {"intensity_g_per_kwh": 153.14, "source": "Dosquet 2025"}}
    },
}


def pytest_unconfigure():
    """Nothing that tests started outlives them."""
    house.close()


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


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """A house in which the small study is complete."""
    place = house.copy_project(tmp_path_factory.mktemp("workflow") / "house")
    house.put_stand_in(place)
    shutil.copytree(house.MODEL, place / "config/second-model")
    (place / "config/second-model/tokenizer.json").write_text("{}")
    data = copy.deepcopy(STUDY)
    data["model"]["tiny"]["path"] = "config/model"
    data["site"] = "config/sites/test.yaml"
    site = "hardware: {here: {mem_mb: 1000}, there: {slurm_partition: a, runtime: 10}}\n"
    (place / "config/sites/test.yaml").write_text(site)
    house.write_study(place, data)
    house.snakemake(place, "--cores", "4")
    return place, data


@pytest.fixture
def own(finished, tmp_path):
    """A copy of the complete house, times preserved, and its study."""
    place, data = finished
    mine = tmp_path / "house"
    shutil.copytree(place, mine, symlinks=True)
    return mine, copy.deepcopy(data)
