"""Tasks of lm-evaluation-harness, through its Python interface."""

import gzip
import json
import math
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from hashlib import sha256
from importlib.util import find_spec
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import nltk
from lm_eval import simple_evaluate
from lm_eval.models.huggingface import HFLM
from lm_eval.models.utils import normalize_gen_kwargs
from lm_eval.tasks import TaskManager

from joulegrid.errors import InputError, Unsupported
from joulegrid.quality.samples import behind
from joulegrid.records import ROOT, in_one_step

# A package that carries NLTK's sentence splitter, with which IFEval counts; no other file of it is
# used
SPLITTER = ("llama_index.core", "tokenizers/punkt_tab/english")
FOLDER = "_static/nltk_cache"
# Of what lm-eval logs of a document: its text, and the prompts made of it. Its target is a choice
# or a reference, but all of the text where that is what is rated
LEFT_OUT = ("doc", "arguments")
MOST_OF_TARGET = 200


class Reader(HFLM):
    """lm-eval's reader of a loaded model, which counts the prompts of which it reads the end alone:
    lm-eval says in its log what is longer than the context, and goes on.
    """

    too_long = 0

    def _loglikelihood_tokens(self, requests: Any, *args: Any, **kwargs: Any) -> Any:
        """Windows of rolling ones come here too, and always fit."""
        lengths = [len(context) + len(text) for _, context, text in requests]
        self.too_long += sum(length > self.max_length + 1 for length in lengths)
        return super()._loglikelihood_tokens(requests, *args, **kwargs)

    def tok_batch_encode(self, strings: list[str], *args: Any, **kwargs: Any) -> Any:
        """Prompts that are answered, whose room is what the answers leave."""
        if room := kwargs.get("left_truncate_len"):
            self.too_long += sum(len(self.tok_encode(text)) > room for text in strings)
        return super().tok_batch_encode(strings, *args, **kwargs)

    def generate_until(self, requests: Any, *args: Any, **kwargs: Any) -> Any:
        """Refuses answers that leave no room, at which lm-eval fails."""
        asked = (normalize_gen_kwargs(each.args[1], self.max_gen_toks) for each in requests)
        most = max(each["max_gen_toks"] for each in asked)
        if most >= self.max_length:
            raise Unsupported(
                f"answers of {most} tokens leave no room for a prompt in the model's context of "
                f"{self.max_length}"
            )
        return super().generate_until(requests, *args, **kwargs)


class Tasks(TaskManager):
    """lm-eval's tasks, and the digest of the documents of those that were loaded."""

    documents = ""

    def __init__(self, entry: dict) -> None:
        own = entry.get("folder")
        include = str(ROOT / own["path"]) if own else None
        super().__init__(include_path=include, include_defaults=own is None)
        self.entry = entry
        if entry["task"] not in self.all_tasks:
            raise InputError(
                f"quality.task: no task {entry['task']!r} in "
                f"{own['path'] if own else 'the tasks of lm-eval'}; "
                "`lm-eval ls tasks` lists those it ships"
            )

    def load(self, task_list: Any) -> Any:
        """Asked by lm-eval before it computes: other documents than the study's end it here."""
        loaded = super().load(task_list)
        self.documents = digest_of(loaded["tasks"], self.entry.get("fewshot"))
        wanted = self.entry.get("sha256", self.documents)
        if wanted != self.documents:
            raise InputError(
                f"quality.sha256: the documents of {self.entry['task']} have the digest "
                f"{self.documents}, not {wanted}: the data set on this machine is another revision"
            )
        return loaded


def digest_of(tasks: Mapping[str, Any], fewshot: int | None) -> str:
    """SHA-256 of all documents of tasks, whatever the limit, and of those that examples in the
    prompt are taken from, where there are any.
    """
    digest = sha256()
    for name, task in sorted(tasks.items()):
        digest.update(name.encode())
        own = task.get_config("num_fewshot")  # 0 there stays 0, whatever is asked
        shots = own if own == 0 or fewshot is None else fewshot
        for document in chain(task.eval_docs, task.fewshot_docs() or () if shots else ()):
            digest.update(json.dumps(document, sort_keys=True, default=str).encode())
    return digest.hexdigest()


def evaluate(
    model: Any, tokenizer: Any, entry: dict, seed: int, beside: Path | None = None
) -> dict[str, dict]:
    """The chosen metrics of one lm-eval task, with lm-eval's own standard errors, and the digest of
    its documents.

    Parameters
    ----------
    beside
        where to write what was answered to each of them, if anywhere; see `keep`.

    Raises
    ------
    InputError
        where lm-eval knows no such task, its documents are not those that the study names, or the
        task has no such metric.
    Unsupported
        where the model has no room for the task's answers.
    """
    manager = Tasks(entry)
    reader = Reader(pretrained=model, tokenizer=tokenizer, batch_size=entry["batch_size"])
    with splitter():
        answer = simple_evaluate(
            model=reader,
            tasks=[entry["task"]],
            task_manager=manager,
            num_fewshot=entry.get("fewshot"),
            limit=entry.get("limit"),
            log_samples=True,
            random_seed=seed,
            numpy_random_seed=seed,
            torch_random_seed=seed,
            fewshot_random_seed=seed,
        )
    results = answer["results"][entry["task"]]
    better = answer["higher_is_better"].get(entry["task"], {})
    samples = [
        # of a group, those of its tasks one after the other
        {**sample, "doc_id": (n, sample["doc_id"])}
        for n, task in enumerate(tasks_in(entry["task"], answer["group_subtasks"]))
        for sample in answer["samples"][task]
    ]
    found = {
        name: metric_of(name, results, better, entry["directions"], samples)
        for name in entry["metrics"]
    }
    if beside is not None:
        keep(beside, answer["samples"])
    told = {"too_long": reader.too_long, "documents": manager.documents}
    return {name: {**metric, **told} for name, metric in found.items()}


def keep(file: Path, samples: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
    """Write what was answered to each document, as lines of JSON, compressed, in one step.

    Not the documents themselves, which their hashes name: their owners say what may be copied.
    """
    with (
        in_one_step(file) as temporary,
        gzip.open(temporary, "wt", encoding="utf-8") as stream,
    ):
        for task, rows in samples.items():
            for row in rows:
                told = {key: value for key, value in row.items() if key not in LEFT_OUT}
                if len(str(told.get("target", ""))) > MOST_OF_TARGET:
                    del told["target"]
                stream.write(json.dumps({"task": task, **told}, default=str) + "\n")


@contextmanager
def splitter() -> Iterator[None]:
    """Within the block NLTK finds its sentence splitter; else lm-eval tries to download it. A copy,
    since NLTK reads no file with hard links, which those of an environment are to uv's cache.
    """
    package, inside = SPLITTER
    found = find_spec(package)
    if found is None or found.origin is None:
        raise InputError(f"the package {package} is not installed: build envs/llm anew")
    with TemporaryDirectory() as place:
        shutil.copytree(Path(found.origin).parent / FOLDER / inside, Path(place, inside))
        nltk.data.path.append(place)
        try:
            yield
        finally:
            nltk.data.path.remove(place)


def tasks_in(name: str, groups: dict[str, list[str]]) -> list[str]:
    """The tasks of a group, also of groups in it; of a task itself."""
    inner = groups.get(name) or []
    return [task for each in inner for task in tasks_in(each, groups)] or [name]


def metric_of(
    wanted: str,
    results: dict[str, Any],
    better: dict[str, Any],
    directions: dict[str, str],
    samples: Sequence[dict[str, Any]] = (),
) -> dict[str, Any]:
    """One metric out of lm-eval's results.

    Parameters
    ----------
    wanted
        NAME, or NAME,FILTER where the task gives it after several filters.
    results
        NAME,FILTER -> value and NAME_stderr,FILTER -> standard error, as lm-eval names them.
    better, directions
        NAME -> whether higher is better, as lm-eval says it, and as the study does.

    Raises
    ------
    InputError
        where there is no such metric, several filters give it, or nobody says which way it is
        better.
    """
    name, _, chosen = wanted.partition(",")
    found = {
        key: value
        for key, value in results.items()
        if "," in key and isinstance(value, int | float)
    }
    filters = sorted(key.split(",", 1)[1] for key in found if key.split(",", 1)[0] == name)
    if name.endswith("_stderr"):
        filters = []
    if not filters or (chosen and chosen not in filters):
        raise InputError(
            f"quality.metrics: the task has no metric {wanted!r}; it has "
            + ", ".join(sorted(k for k in found if not k.split(",")[0].endswith("_stderr")))
        )
    if not chosen and len(filters) > 1:
        raise InputError(
            f"quality.metrics: {name!r} is given by several filters: choose "
            + " or ".join(f"{name},{each}" for each in filters)
        )
    chosen = chosen or filters[0]
    direction = directions.get(wanted) or {True: "higher", False: "lower"}.get(better.get(name))  # type: ignore[arg-type]
    if direction is None:
        raise InputError(
            f"quality.metrics: lm-eval does not say which way {name!r} is better; say it in the "
            "study: "
            f"directions: {{{wanted!r}: higher}} or lower"
        )
    stderr, value = found.get(f"{name}_stderr,{chosen}"), float(found[f"{name},{chosen}"])
    documents = [s for s in samples if s["filter"] == chosen and name in s]
    each = [s[name] for s in sorted(documents, key=lambda s: s["doc_id"])]
    return {
        "value": value,
        "stderr": float(stderr) if stderr is not None and math.isfinite(stderr) else None,
        "higher_is_better": direction == "higher",
        "samples": behind(value, each) if each else None,
    }
