"""The spec of every job: exactly what determines its result, and nothing else.

A spec is a plain JSON object. It is the only thing a script is told, Snakemake compares it with the one of the last
run (the params trigger), and the result stores it. Each spec names the digest of the spec of what it is made from, so
that a result is never taken for one of other weights.

An entry's method names the modules that implement it (`gptq` is made by joulegrid/compression/gptq.py and loaded by
joulegrid/loading/gptq.py), so that the fingerprints of a job cover the modules of its own methods only.
"""

from functools import cache
from typing import Any

from joulegrid.methods import model_source, module_name
from joulegrid.records import ROOT, digest, sha256_file
from joulegrid.study import carbon_zones
from joulegrid.study.fingerprints import fingerprint, lock_fingerprint
from joulegrid.study.grid import CELL_AXES, Cell, Configuration
from joulegrid.study.loading import Study

LLM, LLAMACPP = "envs/llm", "envs/llamacpp"
# Where the libraries of a quantization method or an engine are locked, if not in LLM
QUANTIZER_ENVIRONMENTS = {"gguf": LLAMACPP}
ENGINE_ENVIRONMENTS = {"llamacpp": LLAMACPP}
# What an entry says about analysis only, and therefore determines no measurement
ANALYSIS_KEYS = {"pue"}
# Methods whose checkpoint is a reference: transformers applies them while it loads the weights
LOAD_TIME_METHODS = {"cast", "llm-int8", "bitsandbytes-4bit"}
# What an entry says about running the weights only, and therefore determines no checkpoint
LOADING_KEYS = {"kernel", "compute_dtype"}
# The method whose checkpoints are fetched as somebody else made them
FETCHED_METHOD = "prequantized"

Spec = dict[str, Any]


def environment(name: str) -> Spec:
    """The spec of an environment below envs/: all that its lock holds."""
    return {"lock": lock_fingerprint(f"envs/{name}")}


class Specs:
    """Builds the specs of all jobs of one study."""

    def __init__(self, study: Study):
        self.study = study
        self.model = cache(self._model)
        self.pruned = cache(self._pruned)
        self.checkpoint = cache(self._checkpoint)
        self._checkpoint_digest = cache(lambda configuration: digest(self.checkpoint(configuration)))
        self._fingerprint = cache(fingerprint)
        self._entry = cache(self._uncached_entry)

    def check(self) -> None:
        """Build specs of every kind and method, so that what is wrong with zones, modules or locks shows at once."""
        different = {(cell.pruning, cell.quantization, cell.engine): cell for cell in self.study.cells}
        for cell in different.values():
            self.energy(cell)
            for task in self.study.labels("quality"):
                self.quality(cell.configuration, task)
        for build in (self.merge, self.analysis, self.figures, self.report):
            build()

    def _uncached_entry(self, axis: str, label: str) -> dict:
        entry = {k: v for k, v in self.study.data[axis][label].items() if k not in ANALYSIS_KEYS}
        return entry | self.study.resolved.get(f"{axis}.{label}", {})

    def _model(self, label: str) -> Spec:
        entry = self._entry("model", label)
        source = model_source(entry)
        own = self._fingerprint("fetch_model.py", (module_name("models", source),), LLM)
        # A download is exact whatever library makes it; taking a model out of a wheel converts it
        return {"model": entry, **own} if source == "wheel" else {"model": entry, "code": own["code"]}

    def _pruned(self, model: str, training: str, pruning: str) -> Spec:
        entry = self._entry("pruning", pruning)
        modules = [module_name("compression", entry["method"])]
        drawn = {}
        if "recovery" in entry:
            modules.append(module_name("training", entry["recovery"]["method"]))
        if "recovery" in entry or "calibration" in entry:
            drawn["seed"] = self.study.data["protocol"]["seed"]  # draws the samples
        own = self._fingerprint("prune_weights.py", tuple(modules), LLM)
        return {
            **drawn,
            "model": self._entry("model", model),
            "training": self._entry("training", training),
            "pruning": entry,
            "made_from": digest(self.model(model)),
            **own,
        }

    def _checkpoint(self, configuration: Configuration) -> Spec:
        model, training, pruning, quantization = configuration
        entry = self._quantization(quantization)
        if self._entry("pruning", pruning)["method"] == "none":
            made_from = digest(self.model(model))
        else:
            made_from = digest(self.pruned(model, training, pruning))
        spec = {
            "model": self._entry("model", model),
            "training": self._entry("training", training),
            "pruning": self._entry("pruning", pruning),
            "quantization": entry,
            "made_from": made_from,
        }
        if entry["method"] in LOAD_TIME_METHODS:
            return spec | self._fingerprint("refer_checkpoint.py")
        if entry["method"] == FETCHED_METHOD:
            source = self.study.data["quantization"][quantization]["models"][model]
            spec["checkpoint"] = source | self.study.resolved.get(f"quantization.{quantization}.models.{model}", {})
            own = self._fingerprint("fetch_checkpoint.py", (module_name("models", model_source(source)),), LLM)
            return {**spec, "code": own["code"]}  # a download is exact whatever library makes it
        spec["quantization"] = {key: value for key, value in entry.items() if key not in LOADING_KEYS}
        if "calibration" in entry:
            spec["seed"] = self.study.data["protocol"]["seed"]  # draws the samples
        environment = QUANTIZER_ENVIRONMENTS.get(entry["method"], LLM)
        modules = (module_name("compression", entry["method"]),)
        return spec | self._fingerprint("quantize_weights.py", modules, environment)

    def _quantization(self, label: str) -> dict:
        """The entry without the table of fetched checkpoints: what concerns one model is in that model's specs."""
        return {key: value for key, value in self._entry("quantization", label).items() if key != "models"}

    def _loaded(self, configuration: Configuration) -> Spec:
        """What both energy and quality depend on: the weights."""
        model, training, pruning, quantization = configuration
        return {
            "model": self._entry("model", model),
            "training": self._entry("training", training),
            "pruning": self._entry("pruning", pruning),
            "quantization": self._quantization(quantization),
            "made_from": self._checkpoint_digest(configuration),
        }

    def energy(self, cell: Cell) -> Spec:
        engine = self._entry("engine", cell.engine)
        modules = [module_name("engines", engine["method"])]
        if engine["method"] == "transformers":  # which loads each kind of weights its own way
            modules.append(module_name("loading", self._entry("quantization", cell.quantization)["method"]))
        environment = ENGINE_ENVIRONMENTS.get(engine["method"], LLM)
        return {
            **self._loaded(cell.configuration),
            "hardware": self._entry("hardware", cell.hardware),
            "engine": engine,
            "workload": self._entry("workload", cell.workload),
            "protocol": self.study.data["protocol"],
            **self._fingerprint("measure_energy.py", tuple(modules), environment),
        }

    def quality(self, configuration: Configuration, task: str) -> Spec:
        entry = self._entry("quality", task)
        method = self._entry("quantization", configuration.quantization)["method"]
        modules = tuple(module_name(room, name) for room, name in (("quality", entry["method"]), ("loading", method)))
        return {
            **self._loaded(configuration),
            "quality": entry,
            "seed": self.study.data["protocol"]["seed"],
            **self._fingerprint("evaluate_quality.py", modules, LLM),
        }

    def merge(self) -> Spec:
        """The science of the study, without analysis: enough to build the spec of every job again and compare."""
        data = self.study.data
        keys = [*CELL_AXES, "grid", "protocol", "quality"]
        axes = {key: data[key] for key in keys}
        axes["hardware"] = {k: self._entry("hardware", k) for k in data["hardware"]}
        return {
            "study": {"study": self.study.name, **axes},
            "resolved": self.study.resolved,
            **self._fingerprint("merge_measurements.py"),
        }

    def analysis(self) -> Spec:
        data = self.study.data
        return {
            "ranking": data["ranking"],
            "zones": carbon_zones.resolve(data["carbon"]["zones"], self.study.source),
            "pue": {label: entry["pue"] for label, entry in data["hardware"].items()},
            **self._fingerprint("analyse_study.py"),
        }

    def figures(self) -> Spec:
        return self._fingerprint("draw_figures.py")

    def report(self) -> Spec:
        data = self.study.data
        template = sha256_file(ROOT / "scripts" / "joulegrid" / "report.html.j2")
        shown = {key: value for key, value in data.items() if key != "site"}
        return {"study": shown, "template": template, **self._fingerprint("write_report.py")}
