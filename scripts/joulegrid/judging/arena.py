"""What a judge is asked: to compare two answers to a question, in both orders. The standard library
alone.
"""

import re
from dataclasses import dataclass
from typing import Any

from joulegrid.errors import InputError, Unsupported
from joulegrid.records import digest
from joulegrid.texts.files import text_in
from joulegrid.texts.questions import questions_in
from joulegrid.texts.templates import fields_of, filled

FIELDS = ("question", "answer_a", "answer_b")
# Divides the system message of a template from the user's
DIVIDER = re.compile(r"^={3,}\s*\n", re.MULTILINE)
# A judge shall say the same again
TEMPERATURE = 0.0
Messages = list[dict[str, str]]


@dataclass(frozen=True)
class Comparison:
    """The question of one line of a file, with the answers of a configuration and of the
    baseline.
    """

    line: int
    question: str
    own: str
    baseline: str

    def messages(self, template: str, baseline_first: bool) -> Messages:
        """What is sent, with the baseline's answer as A or as B.

        Parameters
        ----------
        template
            the user's message, with `FIELDS` in braces, behind a system message and a line of
            equals signs, if there is one.
        """
        first, second = (self.baseline, self.own) if baseline_first else (self.own, self.baseline)
        values = {"question": self.question, "answer_a": first, "answer_b": second}
        *system, user = DIVIDER.split(template, maxsplit=1)
        said = [{"role": "system", "content": text.strip()} for text in system]
        return [*said, {"role": "user", "content": filled(user.strip(), values)}]


def requests(
    spec: dict[str, Any], own: dict[str, Any], baseline: dict[str, Any]
) -> tuple[list[tuple[Comparison, list[str]]], dict[str, Messages]]:
    """All that a judge is asked about one configuration.

    Parameters
    ----------
    own, baseline
        records of answers to the same questions; the judge is shown the prompts of the second.

    Returns
    -------
    Every question that both answered, with the names of its two requests, the one with the
    baseline first before the other; and what is sent, by these names.

    Raises
    ------
    Unsupported
        where both answered no question.
    """
    template, settings = text_in(spec["judge"]["prompt"]), settings_of(spec["judge"])
    task = baseline["spec"]["quality"]
    prompts = {q.line: q.prompt for q in questions_in(task["data"], task)}
    theirs = {answer["line"]: answer["text"] for answer in baseline["answers"]}
    pairs = [
        Comparison(line, prompts[line], answer["text"], theirs[line])
        for answer in own["answers"]
        if (line := answer["line"]) in theirs
    ]
    if not pairs:
        raise Unsupported("no question was answered by both")
    asked: list[tuple[Comparison, list[str]]] = []
    sent: dict[str, Messages] = {}
    for pair in pairs:
        both = [pair.messages(template, baseline_first) for baseline_first in (True, False)]
        names = [request_name(messages, settings) for messages in both]
        sent |= dict(zip(names, both, strict=True))
        asked.append((pair, names))
    return asked, sent


def settings_of(judge: dict[str, Any]) -> dict[str, Any]:
    """What is sent with every request to a judge, beside the messages."""
    return {
        "model": judge["model"],
        "temperature": TEMPERATURE,
        "max_tokens": judge["max_tokens"],
    }


def request_name(messages: Messages, settings: dict[str, Any]) -> str:
    """A request by all that is in it: the same is never asked twice."""
    return digest({"messages": messages, **settings})


def check_template(template: str) -> None:
    """Refuse a template that does not show a judge everything.

    Raises
    ------
    InputError
        where the user's part lacks a field, has another, or has a brace that is none of a field.
    """
    expected = "expected {question}, {answer_a} and {answer_b} in the user's part, and no other"
    try:
        fields = fields_of(DIVIDER.split(template, maxsplit=1)[-1])
    except InputError as error:
        raise InputError(f"{expected}: {error}") from None
    wrong = sorted(set(FIELDS) ^ set(fields))
    if wrong:
        raise InputError(f"{expected}; see {', '.join(map(repr, wrong))}")
