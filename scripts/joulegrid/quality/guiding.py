"""Answers to prompts that hold the texts of a guide."""

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from joulegrid.errors import Unsupported
from joulegrid.records import OK, Spec
from joulegrid.texts.files import text_in
from joulegrid.texts.guided import guide_of, guided

Work = Callable[[Spec, Path, dict[str, Any]], dict[str, Any]]


def answer_guided(guide: dict[str, Any], work: Work) -> Work:
    """`work`, which answers the questions of a task, with the guide's texts in its prompts.

    Parameters
    ----------
    guide
        the record of the guide's answers to the same lines.

    Raises
    ------
    Unsupported
        where the guide has no answers; when the work is done, as it does.
    """

    def answered(spec: Spec, weights: Path, hardware: dict[str, Any]) -> dict[str, Any]:
        if guide["status"] != OK:
            raise Unsupported(f"the guide has no answers: {guide['reason']}")
        task = spec["quality"]
        texts = {answer["line"]: answer["text"] for answer in guide["answers"]}
        with TemporaryDirectory() as folder:
            file = Path(folder, Path(task["data"]["path"]).name)
            whole = guided(text_in(task["data"]), task["data"]["path"], texts)
            file.write_text(whole, encoding="utf-8")
            told = {**spec, "quality": {**task, "data": {"path": str(file)}}}
            found = work(told, weights, hardware)
        unguided = sum(not guide_of(texts, line) for line in found["lines"])
        return {**found, "counts": {**found["counts"], "unguided": unguided}}

    return answered
