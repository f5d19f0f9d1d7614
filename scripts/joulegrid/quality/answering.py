"""Answers by an engine that the study measures: greedy, as many at a time as its entry allows."""

from collections.abc import Mapping, Sequence
from itertools import count
from pathlib import Path
from typing import Any

from joulegrid.engines import Completion, Engine, Report, Request
from joulegrid.errors import Unsupported
from joulegrid.jobs.implementation import implementation
from joulegrid.jobs.run import say
from joulegrid.quality.generation import fair, told
from joulegrid.records import Spec
from joulegrid.texts.questions import Question, questions_in


def answer_questions(spec: Spec, weights: Path, hardware: dict[str, Any]) -> dict[str, Any]:
    """The answers of a task as `generation.generate` gives them, by the engine of the spec.

    Raises
    ------
    Unsupported
        where a question is too long and the task refuses such, or all are; as the engine does; see
        `generation.fair`.
    """
    task, entry = spec["quality"], spec["engine"]
    load = implementation("engines", entry["method"]).load
    engine = load(weights, spec["quantization"], hardware, entry)
    say(f"loaded: {engine.describe()}")
    questions = questions_in(task["data"], task)
    chosen = fair(questions, task)
    asked = [Request(q.prompt, task["new_tokens"], task["chat"], stops=True) for q in chosen]
    done = count(1)

    def report(found: Mapping[int, Completion]) -> None:
        for _ in found:
            say(f"generation: {next(done)}/{len(asked)} answers")

    found = _answered(engine, asked, report, task["too_long"] == "refuse")
    answers = [
        _answer(question, completion, task["new_tokens"])
        for question, completion in zip(chosen, found, strict=True)
        if isinstance(completion, Completion)
    ]
    if not answers:
        raise Unsupported(f"none of {len(asked)} prompts can be answered: {found[0]}")
    return told(questions, len(chosen), answers)


def _answered(
    engine: Engine, requests: Sequence[Request], report: Report, refuses: bool
) -> list[Completion | Unsupported]:
    """A completion for each request, or why it has none: it is too long.

    An engine runs none of several requests where one is too long: halves tell which.
    """
    try:
        return [*engine.run(requests, report=report)]
    except Unsupported as error:
        if refuses:
            raise
        if len(requests) == 1:
            return [error]
    middle = len(requests) // 2
    halves = requests[:middle], requests[middle:]
    return [each for half in halves for each in _answered(engine, half, report, refuses)]


def _answer(question: Question, completion: Completion, most: int) -> dict[str, Any]:
    """One answer. Engines count its end token as written; where that comes as the last of all
    tokens that may be written, the answer is taken for a cut one.
    """
    ended = completion.tokens_written < most
    return {
        "line": question.line,
        "references": list(question.references),
        "text": completion.text,
        "tokens_read": completion.tokens_read,
        "tokens_written": completion.tokens_written - ended,
        "ended": ended,
    }
