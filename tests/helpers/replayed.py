"""Published tables as the records that jobs would have written, merged, compared and accounted by
our own code: what comes out is laid beside what the publications conclude.

The tables give energies of whole runs, not tokens. Each prompt counts as one generated token here,
so that "per token" reads "per prompt"; changes, shares and emissions of a run do not depend on it.
"""

import json
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import xarray as xr

from joulegrid.analysis import carbon, comparison, dataset, published, reading
from joulegrid.study import shelf, study, zones
from joulegrid.study.specs import Specs
from joulegrid.units import J_PER_KWH

KWH = {"kWh": 1.0, "Wh": 1e-3}
MODELS = {  # label -> what the publication calls it
    "llama-7b": "LLaMA-7B",
    "llama-30b": "LLaMA-30B",
    "mistral-7b": "Mistral-7B-v0.3",
    "mistral-small-3": "Mistral-Small-3",
}
# g/kWh, life cycle, yearly means of Electricity Maps as the two publications give them
ZONES = {
    **{
        zone: {"intensity_g_per_kwh": g, "source": "Dosquet 2025", "year": 2024}
        for zone, g in (("BE", 153.14), ("DE", 333.77), ("FR", 33.44), ("NL", 262.93))
    },
    **{
        zone: {"intensity_g_per_kwh": g, "source": "Wetzel 2024", "year": 2023}
        for zone, g in (("SE", 25), ("IN", 660))
    },
}
TEXT = "config/texts/calibration.txt"
COMMON = {
    "training": {"none": {"method": "none"}},
    "pruning": {"none": {"method": "none"}},
    "protocol": {"sessions": 1},
    "carbon": {"zones": {zone: {**entry, "basis": "life cycle"} for zone, entry in ZONES.items()}},
}
PROMPTS = "config/prompts/questions.jsonl"
DOSQUET = {
    **COMMON,
    "study": "dosquet2025",
    "model": {label: {"hub": f"published/{label}", "revision": "0" * 40} for label in MODELS},
    "quantization": {
        "full": {"method": "cast", "dtype": "float16"},
        "compressed": {
            "method": "gptq",
            "bits": 4,
            "group_size": 128,
            "calibration": {"text": TEXT},
        },
    },
    "hardware": {"setup-1": {"device": "cuda", "gpu": "A100", "cpu": "EPYC 7513"}},
    "engine": {"transformers": {"method": "transformers"}},
    "workload": {"replay": {"method": "batch", "prompts": PROMPTS, "new_tokens": 100}},
    "quality": {
        "wikitext2": {"method": "perplexity", "text": "config/texts/evaluation.txt"},
        "mmlu": {"method": "lm-eval", "task": "mmlu", "metrics": ["acc"]},
        "ifeval": {"method": "lm-eval", "task": "ifeval", "metrics": ["acc"]},
    },
    "ranking": {"weight": 0.7, "baseline": {"quantization": "full"}},
}
# The engine vLLM is played by an entry of its own: its records hold what was published of it
WETZEL = {
    **COMMON,
    "study": "wetzel2024",
    "model": {"llama-3-8b": {"hub": "published/llama-3-8b", "revision": "0" * 40}},
    "quantization": {"bf16": {"method": "cast", "dtype": "bfloat16"}},
    "hardware": {"l4": {"device": "cuda", "gpu": "L4"}},
    "engine": {
        "transformers": {"method": "transformers"},
        "vllm": {"method": "transformers", "batch_size": 256},
    },
    "workload": {"prompts": {"method": "batch", "prompts": PROMPTS, "new_tokens": 100}},
    "quality": {"text": {"method": "perplexity", "text": "config/texts/evaluation.txt"}},
    "ranking": {"weight": 1, "baseline": {"quantization": "bf16", "engine": "transformers"}},
}
QUALITY = {
    "wikitext2": ("perplexity", "wikitext2_word_perplexity", False),
    "mmlu": ("acc", "mmlu_acc", True),
    "ifeval": ("acc", "ifeval_acc", True),
}
# 4 h, one prompt every six seconds on average
REPLAY = {"seconds": 4 * 3600.0, "prompts": 2400}
# Of CodeCarbon only the GPU's figure is read from a counter
HOW = {
    "cpu": {"basis": "estimated", "method": "CodeCarbon"},
    "gpu": {"basis": "measured", "method": "CodeCarbon, NVML"},
    "ram": {"basis": "estimated", "method": "CodeCarbon"},
}


class Replayed(NamedTuple):
    """What our own code makes of a published table."""

    tree: xr.DataTree
    ranking: xr.Dataset
    carbon: xr.Dataset


def rows() -> pd.DataFrame:
    """All published values."""
    return published.read().to_dataframe()


def dosquet(folder: Path) -> Replayed:
    """Dosquet's energies and qualities of setup 1."""
    frame = rows().query("publication == 'dosquet2025'")

    def energy(job):
        model, _, _, version = job.labels[:4]
        own = frame[(frame.model == MODELS[model]) & (frame.configuration == version)]
        joules = own[own.unit == "kWh"].set_index("quantity").value * J_PER_KWH
        parts = {part: float(joules[f"energy_{part}"]) for part in HOW}
        return session(parts, REPLAY["seconds"], REPLAY["prompts"])

    def quality(job):
        model, _, _, version, task = job.labels
        name, quantity, higher = QUALITY[task]
        own = frame[(frame.model == MODELS[model]) & (frame.configuration == version)]
        value = float(own.set_index("quantity").value[quantity])
        return {"metrics": {name: {"value": value, "stderr": None, "higher_is_better": higher}}}

    return replay(folder, DOSQUET, {"energy": energy, "quality": quality})


def wetzel(folder: Path) -> Replayed:
    """Wetzel's comparison of engines."""
    frame = rows().query("publication == 'wetzel2024' and workload == '7,500 prompts'")

    def energy(job):
        own = frame[frame.configuration == job.labels[5]].set_index("quantity").value
        joules = own.drop("duration") / 1e3 * J_PER_KWH
        parts = {
            "cpu": float(joules["energy_cpu"]),
            "gpu": float(joules["energy_gpu_active"] + joules["energy_gpu_idle"]),
            "ram": float(joules["energy_ram"]),
        }
        return session(parts, float(own["duration"]), 7500)

    value = {"value": 1.0, "stderr": None, "higher_is_better": False}
    return replay(
        folder, WETZEL, {"energy": energy, "quality": lambda _: {"metrics": {"perplexity": value}}}
    )


def session(joules: dict[str, float], seconds: float, prompts: int) -> dict:
    """What an energy job writes, of one run in one window."""
    nothing = dict.fromkeys(joules, 0.0)
    idle = dict.fromkeys(("before", "loaded", "end"))
    return {
        "host": "published",
        "started": "2025-01-01T00:00:00+00:00",
        "device": {"cpu": "published", "gpus": []},
        "components": HOW,
        "reference_s": 1.0,
        "idle": idle,
        "loading": {"seconds": 1.0, "energy_j": nothing},
        "windows": [
            {
                "seconds": seconds,
                "runs": 1,
                "tokens_read": prompts,
                "tokens_written": prompts,
                "energy_j": joules,
                "codecarbon_j": joules,
                "foreign_cpu": 0.0,
                "neighbours_cpu": None,
            }
        ],
        "warnings": [],
        "memory_bytes": {"ram": 1.0},
        "weights_bytes": 1.0,
        "kernels": {"Linear": 1},
    }


def replay(folder: Path, data: dict, written: dict, missing: int = 0) -> Replayed:
    """Write the records of a study below `folder`, and conclude from them what a study concludes.

    Parameters
    ----------
    written
        kind of job -> a function from the job to what its record says beside its header.
    missing
        how many of the records are no measurement.
    """
    made = study.from_data(json.loads(json.dumps(data)), data["study"])
    specs = Specs(made)
    jobs = list(shelf.jobs_of(specs))
    of_weights = {"parameters": 1, "bytes": 1.0}
    for job in jobs:
        header = {"schema_version": 2, "id": job.id, "status": "ok", "elapsed_s": 1.0}
        facts = written[job.kind](job) if job.kind in written else of_weights
        path = folder / f"results/{job.path}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({**header, **facts}))
    with results_in(folder):
        tree, listed = dataset.merge(specs, shelf.Shelf(own=jobs))
    assert len(listed) == missing
    resolved = zones.resolve(made.zones, made.source)
    pue = {label: entry["pue"] for label, entry in made.data["hardware"].items()}
    ranking = comparison.compare(tree, made.data["ranking"])
    return Replayed(tree, ranking, carbon.account(tree, resolved, pue))


@contextmanager
def results_in(folder: Path):
    """Records are read below `folder`."""
    before = shelf.ROOT, reading.ROOT
    shelf.ROOT = reading.ROOT = folder
    try:
        yield
    finally:
        shelf.ROOT, reading.ROOT = before
