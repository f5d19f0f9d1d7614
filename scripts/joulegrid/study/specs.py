"""The spec of every job: exactly what determines its result, and nothing else.

A spec is a plain JSON object. It is the only thing a script is told, the result stores it, and its
id (see `records.identity`) is part of the result's name. A spec names the id of what its weights
are made from, so that a result is never taken for one of other weights. Labels, order, resources,
and whatever concerns analysis are in none of them.
"""

from collections.abc import Iterable
from functools import cache, cached_property
from pathlib import Path

from joulegrid.records import ROOT, Spec, digest
from joulegrid.study import judges, packages
from joulegrid.study.code import Source
from joulegrid.study.grid import Cell, Configuration
from joulegrid.study.job import Job, Part
from joulegrid.study.job import part as _part
from joulegrid.study.methods import ARENA, GENERATION, LLM, METHODS, Method, Weights, roots
from joulegrid.study.study import Study

# What each kind of job calls, beside its methods' own functions
CALLS = {
    "pruned": ("joulegrid.compression.making:prune",),
    "weights": ("joulegrid.compression.making:quantize",),
    "energy": ("joulegrid.metering.session:measure",),
    "quality": ("joulegrid.quality.task:evaluate_task",),
    "texts": ("joulegrid.quality.task:generate_texts",),
    "scores": ("joulegrid.quality.scoring:score",),
    "judgments": (),
}

# What of a task concerns the metrics of its texts, and not the texts
OF_METRICS = frozenset({"metrics", *(k for m in METHODS["metric"].values() for k in m.asks)})
# What of the protocol determines no session's result
UNSPECIFIC = ("sessions", "record")


class Specs:
    """Builds the jobs of one study, with their specs."""

    def __init__(self, study: Study):
        self.study = study
        # digest -> what it stands for: definitions and their digests, or packages and their
        # versions
        self.listings: dict[str, dict[str, str]] = {}
        self._source = Source()
        # each is built once, whoever asks: `model(label)`, `pruned(model, training, pruning)`,
        # `weights(configuration)`, `energy(cell, session)`, `quality(configuration, task)`,
        # `texts(configuration, task)`, `scores(configuration, task, metric)`,
        # `judgments(configuration, task)`
        self._part = cache(self._part_of_entry)
        self._code = cache(self._code_parts)
        self.holder = cache(self._holder)
        self.model = cache(self._model)
        self.pruned = cache(self._pruned)
        self.weights = cache(self._weights)
        self.energy = cache(self._energy)
        self.quality = cache(self._quality)
        self.texts = cache(self._texts)
        self.scores = cache(self._scores)
        self.judgments = cache(self._judgments)
        self._loaded = cache(self._loaded_parts)
        self._runs = cache(self._engine_parts)
        self._protocol = {k: v for k, v in study.data["protocol"].items() if k not in UNSPECIFIC}

    # ---------------------------------------------------------------- what weights are made from
    def _holder(self, configuration: Configuration) -> Job:
        """The job whose weights a configuration loads.

        A configuration is always made in this order: model → training → pruning → quantization.
        Methods that are
        applied while loading make nothing.
        """
        if self._method("quantization", configuration.quantization).weights in (
            Weights.MADE,
            Weights.FETCHED,
        ):
            return self.weights(configuration)
        return self._unquantized(*configuration[:3])

    def _unquantized(self, model: str, training: str, pruning: str) -> Job:
        """The job that holds what is quantized: pruned weights, or the model."""
        if self._method("pruning", pruning).weights == Weights.MADE:
            return self.pruned(model, training, pruning)
        return self.model(model)

    def made_from(self, configuration: Configuration) -> list[Job]:
        """The jobs behind the weights of a configuration, in the order of making; the last one
        holds them.

        What it costs to make ready-made weights is not known, but their model is behind them too.
        """
        chain = [self.holder(configuration)]
        while chain[0].source is not None:
            chain.insert(0, chain[0].source)
        return chain if chain[0].kind == "models" else [self.model(configuration.model), *chain]

    # ---------------------------------------------------------------- the kinds of jobs
    def _model(self, label: str) -> Job:
        parts = {"kind": _part("model"), "model": self._part("model", label)}
        entry = self.study.data["model"][label]
        if str(entry.get("file", "")).endswith(".gguf"):
            # files are taken as they are, whatever takes them; this one is converted
            parts |= self._code((), (("model", "wheel"),), LLM)
        return Job("models", (label,), parts)

    def _pruned(self, model: str, training: str, pruning: str) -> Job:
        entry, source = self.study.data["pruning"][pruning], self.model(model)
        used: tuple[str, ...] = CALLS["pruned"]
        if "recovery" in entry:
            used += ("joulegrid.training.recovery:recover",)
        parts = {
            "kind": _part("pruned"),
            "model": self._part("model", model),
            "training": self._part("training", training),
            "pruning": self._part("pruning", pruning),
            "seed": _part(self._seed if "recovery" in entry or "calibration" in entry else None),
            "made_from": _part(source.id),
            **self._code(used, (("pruning", entry["method"]),), LLM),
        }
        return Job("pruned", (model, training, pruning), parts, source)

    def _weights(self, configuration: Configuration) -> Job:
        model, training, pruning, label = configuration
        entry, known = self.study.data["quantization"][label], self._method("quantization", label)
        parts = {
            "kind": _part("weights"),
            "model": self._part("model", model),
            "training": self._part("training", training),
            "pruning": self._part("pruning", pruning),
            "quantization": self._part("quantization", label, known.running | {"models"}),
        }
        if known.weights == Weights.FETCHED:
            parts["source"] = _part(self.study.entry("quantization", label)["models"][model])
            return Job("weights", configuration, parts)
        source = self._unquantized(model, training, pruning)
        parts |= {
            "seed": _part(self._seed if "calibration" in entry else None),
            "made_from": _part(source.id),
            **self._code(CALLS["weights"], (("quantization", entry["method"]),), known.environment),
        }
        return Job("weights", configuration, parts, source)

    def _energy(self, cell: Cell, session: int) -> Job:
        """The measurement of a cell in one of its sessions."""
        configuration = cell.configuration
        device = self.study.data["hardware"][cell.hardware]["device"]
        parts = {
            "kind": _ENERGY,
            **self._loaded(configuration),
            "hardware": self._part("hardware", cell.hardware),
            **self._runs(cell.engine, cell.workload, cell.quantization, device),
            "protocol": self._protocol_part,
            "session": _session(session),
        }
        return Job("energy", (*cell, str(session)), parts, self.holder(configuration))

    def _quality(self, configuration: Configuration, task: str) -> Job:
        """The evaluation of a configuration by one task."""
        return self._task("quality", "quality", configuration, task)

    def _texts(self, configuration: Configuration, task: str) -> Job:
        """The answers of a configuration to the questions of one task."""
        return self._task("texts", GENERATION, configuration, task, OF_METRICS)

    def _task(
        self,
        kind: str,
        room: str,
        configuration: Configuration,
        task: str,
        without: frozenset[str] = frozenset(),
    ) -> Job:
        known = self._method("quantization", configuration.quantization)
        used = (
            (room, self.study.method("quality", task)),
            ("engine", known.engines[0]),
            ("loading", self.study.method("quantization", configuration.quantization)),
        )
        parts = {
            "kind": _KINDS[kind],
            **self._loaded(configuration),
            "quality": self._part("quality", task, without),
            "seed": self._seed_part,
            **self._code(CALLS[kind], used, LLM),
        }
        return Job(kind, (*configuration, task), parts, self.holder(configuration))

    def _scores(self, configuration: Configuration, task: str, metric: str) -> Job:
        """Metrics of the answers of a configuration: all that one method yields."""
        source, known = self.texts(configuration, task), METHODS["metric"][metric]
        entry = self.study.entry("quality", task)
        parts = {
            "kind": _KINDS["scores"],
            "metric": _part({"method": metric, **{k: entry[k] for k in known.asks & set(entry)}}),
            "made_from": _part(source.id),
            **self._code(CALLS["scores"], (("metric", metric),), known.environment),
        }
        return Job("scores", (*configuration, task, metric), parts, source)

    def _judgments(self, configuration: Configuration, task: str) -> Job:
        """The comparisons of the answers of a configuration with those of the baseline."""
        entry, known = self.study.entry("quality", task), METHODS["quality"][ARENA]
        source = self.texts(configuration, entry["answers"])
        judge = {k: v for k, v in entry["judge"].items() if k not in known.running}
        parts = {
            "kind": _KINDS["judgments"],
            "judge": _part(judge),
            "made_from": _part(source.id),
            "baseline": _part(self.opposed(configuration, task).id),
            **self._code(CALLS["judgments"], ((ARENA, ARENA),), known.environment),
        }
        return Job("judgments", (*configuration, task), parts, source)

    def opposed(self, configuration: Configuration, task: str) -> Job:
        """The answers of the baseline that a configuration is compared with."""
        entry = self.study.data["quality"][task]
        return self.texts(judges.opponent(entry, configuration), entry["answers"])

    # ---------------------------------------------------------------- parts
    def _part_of_entry(self, axis: str, label: str, without: frozenset[str] = frozenset()) -> Part:
        entry = self.study.entry(axis, label)
        return _part({key: value for key, value in entry.items() if key not in without})

    def _loaded_parts(self, configuration: Configuration) -> dict[str, Part]:
        """What both energy and quality depend on: the weights."""
        model, training, pruning, quantization = configuration
        return {
            "model": self._part("model", model),
            "training": self._part("training", training),
            "pruning": self._part("pruning", pruning),
            "quantization": self._part("quantization", quantization, frozenset({"models"})),
            "made_from": _part(self.holder(configuration).id),
        }

    def _code_parts(
        self, calls: tuple[str, ...], used: tuple[tuple[str, str], ...], environment: str
    ) -> dict[str, Part]:
        """The code of joulegrid that a job runs, and the locked packages it runs on, as digests."""
        starts: Iterable[str] = (
            *calls,
            *(root for room, name in used for root in roots(room, name)),
        )
        code = self._source.used_by(starts)
        locked = packages.computing(ROOT / environment / "uv.lock", code.imports)
        return {"code": self._listed(code.definitions), "packages": self._listed(locked)}

    def _engine_parts(
        self, engine: str, workload: str, quantization: str, device: str
    ) -> dict[str, Part]:
        """What runs the requests of a cell, and the code and packages that do it."""
        method = self.study.method("engine", engine)
        used = [("engine", method), ("workload", self.study.method("workload", workload))]
        if method == "transformers":  # which loads each kind of weights its own way
            used.append(("loading", self.study.method("quantization", quantization)))
        environment = METHODS["engine"][method].environment_on(device)
        return {
            "engine": self._part("engine", engine),
            "workload": self._part("workload", workload),
            **self._code(CALLS["energy"], tuple(used), environment),
        }

    def _listed(self, content: dict[str, str]) -> Part:
        """A list by its digest; what it holds is kept in `listings`."""
        name = digest(content)
        self.listings[name] = content
        return _part(name)

    def _method(self, axis: str, label: str) -> Method:
        return METHODS[axis][self.study.method(axis, label)]

    @property
    def _seed(self) -> int:
        return self.study.data["protocol"]["seed"]

    @cached_property
    def _seed_part(self) -> Part:
        return _part(self._seed)

    @cached_property
    def _protocol_part(self) -> Part:
        return _part(self._protocol)


_ENERGY = _part("energy")
_KINDS = {kind: _part(kind) for kind in ("quality", "texts", "scores", "judgments")}
_session = cache(_part)


def environment(folder: str) -> Spec:
    """The spec of an environment below envs/: all that its lock holds."""
    return {"lock": packages.lock_digest(ROOT / Path(folder) / "uv.lock")}
