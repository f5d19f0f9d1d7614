"""What a judge is asked: to compare two answers to a question, in both orders."""

import re
import string
from dataclasses import dataclass
from typing import Any

from joulegrid.errors import InputError
from joulegrid.records import digest

FIELDS = ("question", "answer_a", "answer_b")
# Divides the system message of a template from the user's
DIVIDER = re.compile(r"^={3,}[ \t]*\n", re.MULTILINE)
# A judge shall say the same again
TEMPERATURE = 0.0


@dataclass(frozen=True)
class Comparison:
    """One question with the answers of a configuration and of the baseline."""

    question: str
    own: str
    baseline: str

    def messages(self, template: str, baseline_first: bool) -> list[dict[str, str]]:
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
        return [*said, {"role": "user", "content": user.strip().format_map(values)}]


def check_template(template: str, name: str) -> None:
    """Refuse a template that does not show a judge everything.

    Raises
    ------
    InputError
        where the user's part lacks a field, has another, or has a brace that is none of a field.
    """
    user = DIVIDER.split(template, maxsplit=1)[-1]
    try:
        fields = [field for _, field, _, _ in string.Formatter().parse(user) if field is not None]
    except ValueError as error:
        raise InputError(
            f"{name}: {error}; a brace that is meant as such is written twice"
        ) from None
    if set(fields) != set(FIELDS):
        wrong = sorted(set(FIELDS) ^ set(fields))
        raise InputError(
            f"{name}: expected {{question}}, {{answer_a}} and {{answer_b}}, each in the user's "
            f"part, and no other field; see {', '.join(map(repr, wrong))}"
        )


def settings_of(judge: dict[str, Any]) -> dict[str, Any]:
    """What is sent with every request to a judge, beside the messages."""
    return {
        "model": judge["model"],
        "temperature": TEMPERATURE,
        "max_tokens": judge["max_tokens"],
    }


def request_name(messages: list[dict[str, str]], settings: dict[str, Any]) -> str:
    """A request by all that is in it: the same is never asked twice."""
    return digest({"messages": messages, **settings})
