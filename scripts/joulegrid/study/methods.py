"""The one table of what is known about a method: specs, rules, checks and docs read it, a test
holds it to the modules.

A method's name names its module: `gptq` on the axis `quantization` is
joulegrid/compression/quantization/gptq.py, and weights quantized by it are loaded by
joulegrid/engines/transformers/loading/gptq.py. How to add one: docs/adding-a-method.md.
"""

from dataclasses import dataclass
from enum import Enum

LLM, LLAMACPP = "envs/llm", "envs/llamacpp"
VLLM, VLLM_CPU = "envs/vllm", "envs/vllm-cpu"
JUDGE = "envs/judge"


class Weights(Enum):
    """How the weights of a configuration come to be."""

    AS_THEY_ARE = "nothing is done"
    LOADED = "applied while loading: no copy of the weights is stored"
    MADE = "a copy is made and stored"
    FETCHED = "somebody else made them: they are fetched"


@dataclass(frozen=True)
class Method:
    """What is known about one method.

    Parameters
    ----------
    environment
        where its module runs.
    on_gpus
        where it runs on GPUs, if that is another one (engines).
    weights
        how the weights come to be (training, pruning and quantization).
    running
        keys that concern running only and therefore determine no result.
    engines
        which engines load such weights, the first one for quality (quantization).
    metrics
        what it yields; empty where the entry names them (quality, metric).
    ranked
        whether these count in the ranking unless the study says so (metric).
    beside
        those of `metrics` that do not either, since they say how good the others are (quality).
    of_no_configuration
        those of `beside` that no ranking may name: the baseline has none of them (quality).
    asks
        keys of the task that concern it alone (metric).
    bits
        of a quantized weight; None where the entry says it, or nobody (quantization).
    """

    environment: str = LLM
    on_gpus: str = ""
    weights: Weights = Weights.AS_THEY_ARE
    running: frozenset[str] = frozenset()
    engines: tuple[str, ...] = ("transformers",)
    metrics: tuple[str, ...] = ()
    ranked: bool = True
    beside: frozenset[str] = frozenset()
    of_no_configuration: frozenset[str] = frozenset()
    asks: frozenset[str] = frozenset()
    bits: int | None = None

    def environment_on(self, device: str) -> str:
        """Where it runs on the device of a hardware entry, `cpu` or `cuda`."""
        return self.on_gpus if self.on_gpus and device == "cuda" else self.environment


_CASTING = frozenset({"compute_dtype"})
_KERNEL = frozenset({"compute_dtype", "kernel"})
_ENCODER = frozenset({"encoder"})
_ASKING = frozenset(
    {
        "endpoint",
        "key_variable",
        "concurrency",
        "timeout_seconds",
        "retries",
        "usd_per_million",
        "budget_usd",
        "local",
    }
)
_SAME_STYLE = "win_rate_same_style"
_ABOUT_JUDGE = ("agreement", "first_preferred", "unreadable")
_WITH_VLLM = ("transformers", "vllm")  # what vLLM loads of each, and where: study/loadable.py

METHODS: dict[str, dict[str, Method]] = {
    "model": {"hub": Method(), "path": Method(), "wheel": Method(), "random": Method()},
    "training": {
        "none": Method(),
        **dict.fromkeys(("full", "lora", "qlora"), Method(weights=Weights.MADE)),
    },
    "pruning": {
        "none": Method(),
        **dict.fromkeys(
            ("magnitude", "wanda", "sparsegpt", "layers", "blocks"), Method(weights=Weights.MADE)
        ),
    },
    "quantization": {
        "cast": Method(weights=Weights.LOADED, engines=_WITH_VLLM),
        "llm-int8": Method(weights=Weights.LOADED, bits=8),
        "bitsandbytes-4bit": Method(weights=Weights.LOADED, engines=_WITH_VLLM, bits=4),
        "gptq": Method(weights=Weights.MADE, running=_KERNEL, engines=_WITH_VLLM),
        "awq": Method(weights=Weights.MADE, running=_KERNEL, engines=_WITH_VLLM),
        "fp8": Method(weights=Weights.MADE, running=_CASTING, engines=_WITH_VLLM, bits=8),
        "gguf": Method(
            environment=LLAMACPP,
            weights=Weights.MADE,
            running=_CASTING,
            engines=("transformers", "llamacpp"),
        ),
        "prequantized": Method(weights=Weights.FETCHED, running=_CASTING, engines=_WITH_VLLM),
    },
    "engine": {
        "transformers": Method(),
        "llamacpp": Method(environment=LLAMACPP),
        "vllm": Method(environment=VLLM_CPU, on_gpus=VLLM),
    },
    "workload": {"batch": Method(), "lengths": Method(), "steady": Method(), "replay": Method()},
    "quality": {
        "perplexity": Method(metrics=("perplexity",)),
        "lm-eval": Method(),
        "generation": Method(),
        "arena": Method(
            environment=JUDGE,
            running=_ASKING,
            metrics=("win_rate", _SAME_STYLE, *_ABOUT_JUDGE),
            beside=frozenset((_SAME_STYLE, *_ABOUT_JUDGE)),
            of_no_configuration=frozenset(_ABOUT_JUDGE),
        ),
    },
    # of the texts that the quality method generation makes
    "metric": {
        "bleu": Method(metrics=("bleu",)),
        "chrf": Method(metrics=("chrf",)),
        "rouge": Method(metrics=("rouge1", "rouge2", "rougeL")),
        "meteor": Method(metrics=("meteor",), asks=frozenset({"wordnet"})),
        "bertscore": Method(
            metrics=("bertscore_precision", "bertscore_recall", "bertscore_f1"), asks=_ENCODER
        ),
        "cosine": Method(metrics=("cosine",), asks=_ENCODER),
        "squad": Method(metrics=("exact_match", "f1")),
        "form": Method(metrics=("tokens", "refusals", "repetitions"), ranked=False),
    },
}
# The quality method that makes texts, and is no metric
GENERATION = "generation"
# The one that has answers of such a task judged
ARENA = "arena"

# axis -> the package of its methods' modules, and the functions there that compute
ROOMS: dict[str, tuple[str, tuple[str, ...]]] = {
    "model": ("models", ("fetch",)),
    "pruning": ("compression.pruning", ("prune",)),
    "quantization": ("compression.quantization", ("quantize",)),
    "engine": ("engines", ("load",)),
    "workload": ("workloads", ("points",)),
    "quality": ("quality", ("evaluate",)),
    "generation": ("quality", ("generate",)),
    "arena": ("judging", ("requests",)),
    "metric": ("quality.metrics", ("score",)),
    "loading": ("engines.transformers.loading", ("load",)),
}


def method(axis: str, entry: dict) -> Method:
    """What is known about the method of an axis' entry."""
    return METHODS[axis][method_name(axis, entry)]


def method_name(axis: str, entry: dict) -> str:
    """The method of an entry; a model's is where it comes from."""
    return (
        next(key for key in METHODS["model"] if key in entry)
        if axis == "model"
        else entry["method"]
    )


def tasks_of(name: str, data: dict) -> dict[str, dict]:
    """The quality tasks of a study's data that are of one method, by their labels."""
    return {label: task for label, task in data["quality"].items() if task["method"] == name}


def metrics_of(task: dict) -> list[str]:
    """What a quality task yields: metrics by their names in the task."""
    if task["method"] == GENERATION:
        return [name for kind in task["metrics"] for name in METHODS["metric"][kind].metrics]
    return [*(method("quality", task).metrics or task["metrics"])]


def module_name(room: str, name: str) -> str:
    """The module of a method, or of how such weights are loaded."""
    return f"joulegrid.{ROOMS[room][0]}.{name.replace('-', '_')}"


def roots(room: str, name: str) -> tuple[str, ...]:
    """`module:function` of what a method's module computes with."""
    return tuple(f"{module_name(room, name)}:{function}" for function in ROOMS[room][1])
