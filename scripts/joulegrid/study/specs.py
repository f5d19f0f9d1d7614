"""The spec of every job: exactly what determines its result, and nothing else.

A spec is a plain JSON object. It is the only thing a script is told, the result stores it, and its
id (see `records.identity`) is part of the result's name. A spec names the id of what its weights
are made from, so that a result is never taken for one of other weights. Labels, order, resources,
and whatever concerns analysis are in none of them.
"""

from functools import cache, cached_property

from joulegrid.study import answering, guides, judges, trainings
from joulegrid.study.grid import Cell, Configuration
from joulegrid.study.job import Job, Part, part
from joulegrid.study.methods import ARENA, GENERATION, LLM, METHODS, Weights
from joulegrid.study.parts import NOTHING, Parts
from joulegrid.study.study import Study

# What each kind of job calls, beside its methods' own functions
CALLS = {
    "training": ("joulegrid.training.tuning:tune",),
    "trained": ("joulegrid.training.merging:merge",),
    "pruned": ("joulegrid.compression.making:prune",),
    "weights": ("joulegrid.compression.making:quantize",),
    "energy": ("joulegrid.metering.session:measure",),
    "quality": ("joulegrid.quality.task:evaluate_task",),
    "texts": ("joulegrid.quality.task:generate_texts",),
    "scores": ("joulegrid.quality.scoring:score",),
    "judgments": (),
}
KINDS = ("models", *CALLS)  # in the order of making


class Specs:
    """Builds the jobs of one study, with their specs."""

    def __init__(self, study: Study):
        self.study = study
        self._parts = Parts(study)
        # digest -> what it stands for, see `Parts`
        self.listings = self._parts.listings
        # each is built once, whoever asks; what it takes is said by the method behind it
        self.holder = cache(self._holder)
        self.model = cache(self._model)
        self.training = cache(self._training)
        self.trained = cache(self._trained)
        self.pruned = cache(self._pruned)
        self.weights = cache(self._weights)
        self.energy = cache(self._energy)
        self.quality = cache(self._quality)
        self.texts = cache(self._texts)
        self.scores = cache(self._scores)
        self.judgments = cache(self._judgments)
        self._loaded = cache(self._loaded_parts)
        self._runs = cache(self._engine_parts)

    # ---------------------------------------------------------------- what weights are made from
    def _holder(self, configuration: Configuration) -> Job:
        """The job whose weights a configuration loads.

        A configuration is always made in this order: model → training → pruning → quantization.
        Methods that are applied while loading make nothing.
        """
        if self._parts.method("quantization", configuration.quantization).weights in (
            Weights.MADE,
            Weights.FETCHED,
        ):
            return self.weights(configuration)
        return self._unquantized(*configuration[:3])

    def _unquantized(self, model: str, training: str, pruning: str) -> Job:
        """The job that holds what is quantized: pruned weights, or the model."""
        if self._parts.method("pruning", pruning).weights == Weights.MADE:
            return self.pruned(model, training, pruning)
        return self._unpruned(model, training)

    def _unpruned(self, model: str, training: str) -> Job:
        """The job that holds what is pruned: trained weights, or the model."""
        if self._parts.method("training", training).weights == Weights.MADE:
            return self.trained(model, training)
        return self.model(model)

    def goes_on_with(self, job: Job) -> Job | None:
        """The training whose epochs a longer one begins with, where one of the study has them.

        It is no part of the longer one's spec: the same epochs come of training them again.
        """
        model, label = job.labels
        found = trainings.shorter(self.study.data["training"], label)
        return self.training(model, found) if found else None

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
        parts = {"kind": part("model"), "model": self._parts.entry("model", label)}
        entry = self.study.data["model"][label]
        if str(entry.get("file", "")).endswith(".gguf"):
            # files are taken as they are, whatever takes them; this one is converted
            parts |= self._parts.code((), (("model", "wheel"),), LLM)
        if "random" in entry:
            parts |= self._parts.code((), (("model", "random"),), LLM)
        return Job("models", (label,), parts)

    def _training(self, model: str, training: str) -> Job:
        """The epochs of a fine-tuning."""
        source = self.model(model)
        parts = {
            "kind": part("training"),
            "model": self._parts.entry("model", model),
            "training": self._parts.entry("training", training),
            "made_from": part(source.id),
            **self._parts.code(CALLS["training"], (), LLM),
        }
        return Job("training", (model, training), parts, source)

    def _trained(self, model: str, training: str) -> Job:
        """The weights after the last of them."""
        source = self.training(model, training)
        parts = {
            "kind": part("trained"),
            "model": self._parts.entry("model", model),
            "training": self._parts.entry("training", training),
            "made_from": part(source.id),
            **self._parts.code(CALLS["trained"], (), LLM),
        }
        return Job("trained", (model, training), parts, source)

    def _pruned(self, model: str, training: str, pruning: str) -> Job:
        entry, source = self.study.data["pruning"][pruning], self._unpruned(model, training)
        used: tuple[str, ...] = CALLS["pruned"]
        if "recovery" in entry:
            used += ("joulegrid.training.recovery:recover",)
        parts = {
            "kind": part("pruned"),
            "model": self._parts.entry("model", model),
            "training": self._parts.entry("training", training),
            "pruning": self._parts.entry("pruning", pruning),
            "seed": part(self._parts.seed if {"recovery", "calibration"} & set(entry) else None),
            "made_from": part(source.id),
            **self._parts.code(used, (("pruning", entry["method"]),), LLM),
        }
        return Job("pruned", (model, training, pruning), parts, source)

    def _weights(self, configuration: Configuration) -> Job:
        model, training, pruning, label = configuration
        entry = self.study.data["quantization"][label]
        known = self._parts.method("quantization", label)
        parts = {
            "kind": part("weights"),
            "model": self._parts.entry("model", model),
            "training": self._parts.entry("training", training),
            "pruning": self._parts.entry("pruning", pruning),
            "quantization": self._parts.entry("quantization", label, known.running | {"models"}),
        }
        if known.weights == Weights.FETCHED:
            parts["source"] = part(self.study.entry("quantization", label)["models"][model])
            return Job("weights", configuration, parts)
        source = self._unquantized(model, training, pruning)
        parts |= {
            "seed": part(self._parts.seed if "calibration" in entry else None),
            "made_from": part(source.id),
            **self._parts.code(
                CALLS["weights"], (("quantization", entry["method"]),), known.environment
            ),
        }
        return Job("weights", configuration, parts, source)

    def _energy(self, cell: Cell, session: int) -> Job:
        """The measurement of a cell in one of its sessions."""
        configuration = cell.configuration
        device = self.study.data["hardware"][cell.hardware]["device"]
        parts = {
            "kind": _ENERGY,
            **self._loaded(configuration),
            "hardware": self._parts.entry("hardware", cell.hardware),
            **self._runs(cell.engine, cell.workload, cell.quantization, device),
            "protocol": self._parts.protocol,
            "session": _session(session),
        }
        return Job("energy", (*cell, str(session)), parts, self.holder(configuration))

    def _quality(self, configuration: Configuration, task: str) -> Job:
        """The evaluation of a configuration by one task."""
        return self._task("quality", "quality", configuration, task)

    def _texts(self, configuration: Configuration, task: str) -> Job:
        """The answers of a configuration to the questions of one task."""
        engine, guide = self._answering.get(configuration), self.guide(configuration, task)
        calls, more = (guides.CALLS, {"guide": part(guide.id)}) if guide else ((), {})
        if engine is None or not answering.is_by_engine(self.study.data["quality"][task]):
            job = self._task("texts", GENERATION, configuration, task, answering.OF_OTHERS, calls)
            return Job("texts", job.labels, {**job.parts, **more}, job.source)
        own = engine.parts(self._parts, task, calls)
        parts = {"kind": _KINDS["texts"], **self._loaded(configuration), **own, **more}
        return Job("texts", (*configuration, task), parts, self.holder(configuration))

    def guide(self, configuration: Configuration, task: str) -> Job | None:
        """The texts that stand in the prompts of a task, None where it has no guide."""
        found = guides.of(self.study.data["quality"][task], configuration)
        return self.texts(*found) if found else None

    @cached_property
    def _answering(self) -> dict[Configuration, answering.Answering]:
        return answering.engines(self.study)

    def _task(
        self,
        kind: str,
        room: str,
        configuration: Configuration,
        task: str,
        without: frozenset[str] = NOTHING,
        calls: tuple[str, ...] = (),
    ) -> Job:
        known = self._parts.method("quantization", configuration.quantization)
        used = (
            (room, self.study.method("quality", task)),
            ("engine", known.engines[0]),
            ("loading", self.study.method("quantization", configuration.quantization)),
        )
        parts = {
            "kind": _KINDS[kind],
            **self._loaded(configuration),
            "quality": self._parts.entry("quality", task, without),
            "seed": self._parts.seed_part,
            **self._parts.code((*CALLS[kind], *calls), used, LLM),
        }
        return Job(kind, (*configuration, task), parts, self.holder(configuration))

    def _scores(self, configuration: Configuration, task: str, metric: str) -> Job:
        """Metrics of the answers of a configuration: all that one method yields."""
        source, known = self.texts(configuration, task), METHODS["metric"][metric]
        entry = self.study.entry("quality", task)
        parts = {
            "kind": _KINDS["scores"],
            "metric": part({"method": metric, **{k: entry[k] for k in known.asks & set(entry)}}),
            "made_from": part(source.id),
            **self._parts.code(CALLS["scores"], (("metric", metric),), known.environment),
        }
        return Job("scores", (*configuration, task, metric), parts, source)

    def _judgments(self, configuration: Configuration, task: str) -> Job:
        """The comparisons of the answers of a configuration with those of the baseline."""
        entry, known = self.study.entry("quality", task), METHODS["quality"][ARENA]
        source = self.texts(configuration, entry["answers"])
        judge = {k: v for k, v in entry["judge"].items() if k not in known.running}
        parts = {
            "kind": _KINDS["judgments"],
            "judge": part(judge),
            "made_from": part(source.id),
            "baseline": part(self.opposed(configuration, task).id),
            **self._parts.code(CALLS["judgments"], ((ARENA, ARENA),), known.environment),
        }
        return Job("judgments", (*configuration, task), parts, source)

    def opposed(self, configuration: Configuration, task: str) -> Job:
        """The answers of the baseline that a configuration is compared with."""
        entry = self.study.data["quality"][task]
        return self.texts(judges.opponent(entry, configuration), judges.against(entry))

    # ---------------------------------------------------------------- parts
    def _loaded_parts(self, configuration: Configuration) -> dict[str, Part]:
        """What both energy and quality depend on: the weights."""
        model, training, pruning, quantization = configuration
        return {
            "model": self._parts.entry("model", model),
            "training": self._parts.entry("training", training),
            "pruning": self._parts.entry("pruning", pruning),
            "quantization": self._parts.entry("quantization", quantization, frozenset({"models"})),
            "made_from": part(self.holder(configuration).id),
        }

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
            "engine": self._parts.entry("engine", engine),
            "workload": self._parts.entry("workload", workload),
            **self._parts.code(CALLS["energy"], tuple(used), environment),
        }


_ENERGY = part("energy")
_KINDS = {kind: part(kind) for kind in ("quality", "texts", "scores", "judgments")}
_session = cache(part)
