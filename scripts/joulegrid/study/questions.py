"""What is wrong with tasks that generate answers, known before anything is sent: the template, the
columns, what a metric needs.

Each check gives lines `key.path: what is wrong; what was expected`.
"""

from typing import Any

from joulegrid.errors import InputError
from joulegrid.records import ROOT
from joulegrid.study.methods import GENERATION, tasks_of
from joulegrid.study.validation import nearest
from joulegrid.texts.files import decode
from joulegrid.texts.guided import FIELD, guided
from joulegrid.texts.questions import asked_of, parse_lines, parse_questions
from joulegrid.texts.templates import HALF, fields_of, is_no_number

# Metrics that need no reference
WITHOUT = {"form"}


def of_tasks(data: dict[str, Any]) -> list[str]:
    """What is wrong with the tasks of the method generation."""
    return [
        f"quality.{label}.{line}"
        for label, task in tasks_of(GENERATION, data).items()
        for line in [*_template(task), *_metrics(task)]
    ]


def _template(task: dict[str, Any]) -> list[str]:
    try:
        wanted = fields_of(task["template"])
    except InputError as error:
        return [f"template: {error}"]
    path = ROOT / task["data"]
    if not path.is_file():
        return []  # it is named where files are resolved
    try:
        text = decode(path.read_bytes(), task["data"])
        lines = parse_lines(text, task["data"])
    except InputError:
        return []  # likewise
    columns = list(lines[0][1])
    if FIELD in task:
        if problem := _field(wanted, columns):
            return [problem]
        text, columns = guided(text, task["data"], {}), [*columns, FIELD]
    unknown = [field for field in wanted if field not in columns]
    if unknown:
        return [f"template: no column {f!r}; {nearest(f, columns)}" for f in unknown]
    answered = any(task["reference"] in row for _, row in lines)
    needed = [kind for kind in task["metrics"] if kind not in WITHOUT]
    if needed and not answered:
        hint = nearest(task["reference"], columns)
        return [f"reference: no column {task['reference']!r}, and {needed[0]} needs one; {hint}"]
    if problem := _no_text(task, wanted, lines):
        return [problem]
    try:
        asked_of(parse_questions(text, task["data"], task), task.get("leaked"))
    except InputError as error:
        return [f"data: {error}"]
    return []


def _no_text(
    task: dict[str, Any], wanted: list[str], lines: list[tuple[int, dict[str, Any]]]
) -> str | None:
    """The first value that would be asked, or compared, as the text `nan`, or that no tokenizer
    reads and no record holds.
    """
    for number, row in lines[: task.get("limit")]:
        for column in (*wanted, task["reference"]):
            value = row.get(column)
            if is_no_number(value):
                what = "NaN or Infinity"
            elif any(isinstance(t, str) and HALF.search(t) for t in _several(value)):
                what = "half a character (one of a pair such as \\ud83d\\ude00)"
            else:
                continue
            return (
                f"data: {task['data']}:{number}: the column {column!r} holds {what}; write what it "
                "shall say, or leave the line out"
            )
    return None


def _several(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _field(wanted: list[str], columns: list[str]) -> str | None:
    """What is wrong with the field for the guide's text."""
    if FIELD in columns:
        return f"{FIELD}: the data have a column {FIELD!r}, which would be hidden; rename it"
    if FIELD not in wanted:
        return f"template: it has no {{{FIELD}}}, where the guide's text shall stand"
    return None


def _metrics(task: dict[str, Any]) -> list[str]:
    lines = []
    if "wordnet" in task and "meteor" not in task["metrics"]:
        lines.append("wordnet: no metric of the task reads it; drop it, or add meteor")
    if "encoder" in task and not {"bertscore", "cosine"} & set(task["metrics"]):
        lines.append("encoder: no metric of the task uses it; drop it, or add bertscore or cosine")
    return lines
