"""Asking an OpenAI-compatible endpoint many things at a time.

Waiting and trying again after 408, 409, 429, 5xx, lost connections and silence is done by the
openai package: 0.5 s, doubled up to 8 s, or what Retry-After says; where that is longer than the
package waits, here.
"""

import os
import threading
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import openai
from openai.types import CompletionUsage
from openai.types.chat import ChatCompletion, ChatCompletionMessage

from joulegrid.errors import InputError
from joulegrid.jobs.run import say
from joulegrid.judging import waiting
from joulegrid.judging.budget import Budget, Price, Spent
from joulegrid.judging.replies import REFUSED, Kept, Reply

Messages = list[dict[str, str]]
# An answer that is no reply (half of one, another format) is asked for again, so many times
MALFORMED_TRIES, PAUSE_S = 4, 0.5
# What no other try would change: a request that is wrong, or too long
REFUSING = (400, 413, 422)
# Replies between two lines of progress
STRIDE = 20


@dataclass(frozen=True)
class Endpoint:
    """Where a judge is asked, and how; none of it determines what it says.

    Parameters
    ----------
    url
        up to and with /v1.
    key_variable
        the environment variable that holds the key; None where none is needed.
    concurrency
        requests at a time.
    timeout_s, retries
        of one try, and tries after the first.
    price, budget_usd
        None where not counted, and not bounded.
    """

    url: str
    key_variable: str | None = None
    concurrency: int = 4
    timeout_s: float = 600.0
    retries: int = 8
    price: Price | None = None
    budget_usd: float | None = None

    def key(self) -> str | None:
        """The key; never part of a message.

        Raises
        ------
        InputError
            where the variable is empty, or the address holds a password.
        """
        if urlsplit(self.url).username or urlsplit(self.url).password:
            raise InputError(
                "endpoint: the address holds a name or a password, which would end up in logs; "
                "put the key into an environment variable and name it as key_variable"
            )
        if self.key_variable is None:
            return None
        key = os.environ.get(self.key_variable, "").strip()
        if not key:
            raise InputError(
                f"the environment variable {self.key_variable} is not set: export the judge's key "
                "where snakemake is started"
            )
        return key


def ask_all(
    requests: Mapping[str, Messages], settings: Mapping[str, Any], endpoint: Endpoint, kept: Kept
) -> tuple[dict[str, Reply], float | None]:
    """A reply to each request, those in `kept` unasked.

    Parameters
    ----------
    requests
        by name, which tells what is asked and of whom.
    settings
        of every request: `model`, `temperature`, `max_tokens`.

    Returns
    -------
    Replies by the names of the requests, and what all of them cost in USD, None without prices.

    Raises
    ------
    InputError
        where the endpoint cannot be had, refuses the key, the model or every request, or the
        budget is spent; what came until then is kept.
    """
    found = {name: kept.found[name] for name in requests if name in kept.found}
    missing = {name: messages for name, messages in requests.items() if name not in found}
    say(f"judge: {len(found)} of {len(requests)} replies are there")
    asking = _Asking(settings, endpoint, kept, found) if missing else None
    if asking is not None:
        try:
            found |= _together(asking, missing, endpoint.concurrency)
        except Spent:
            raise InputError(asking.spent_message(kept.count(requests), len(requests))) from None
        except openai.OpenAIError as error:
            there = f"{kept.count(requests)} of {len(requests)} replies are kept"
            raise InputError(f"{asking.explained(error)}; {there}: run snakemake again") from None
    refused = [reply for reply in found.values() if reply.finish == REFUSED]
    if requests and len(refused) == len(requests):
        raise InputError(f"{endpoint.url} refused every request: {refused[0].text}")
    answered = [reply for reply in found.values() if reply.finish != REFUSED]
    price = endpoint.price
    return found, None if price is None else sum(price.of(reply) for reply in answered)


class _Asking:
    """What the threads share."""

    def __init__(
        self,
        settings: Mapping[str, Any],
        endpoint: Endpoint,
        kept: Kept,
        found: Mapping[str, Reply],
    ):
        self.settings, self.endpoint, self.kept = dict(settings), endpoint, kept
        self.key, self.price = endpoint.key(), endpoint.price
        spent = sum(self.price.of(reply) for reply in found.values()) if self.price else 0.0
        self.budget = Budget(endpoint.budget_usd, spent)
        self.ended = threading.Event()
        self.client = openai.OpenAI(
            base_url=endpoint.url,
            api_key=self.key or "none",
            timeout=endpoint.timeout_s,
            max_retries=endpoint.retries,
        )

    def ask(self, name: str, messages: Messages) -> Reply | None:
        """One reply, kept; None where asking has ended meanwhile."""
        most = self.price.at_most(messages, self.settings["max_tokens"]) if self.price else 0.0
        self.budget.reserve(most)
        cost = 0.0
        try:
            if self.ended.is_set():
                return None
            reply = self._reply(messages)
            if reply.finish != REFUSED:  # is asked again by the next job: it costs nothing
                self.kept.keep(name, reply)
                cost = self.price.of(reply) if self.price else 0.0
            return reply
        finally:
            self.budget.settle(most, cost)

    def _reply(self, messages: Messages) -> Reply:
        for attempt in range(MALFORMED_TRIES):
            if attempt:
                time.sleep(PAUSE_S * 2**attempt)
            try:
                return _reply_of(self._completion(messages))
            except openai.APIStatusError as error:
                if error.status_code not in REFUSING:
                    raise
                return Reply(self.without_key(str(error)), REFUSED)
            except (ValueError, openai.APIResponseValidationError):
                continue  # half a reply, or another format
        raise InputError(
            f"{self.endpoint.url}: {MALFORMED_TRIES} answers to one request were no chat "
            "completions; is the address right (up to and with /v1)?"
        )

    def _completion(self, messages: Messages) -> Any:
        """What the endpoint answers, after the waits that the openai package does not wait."""
        for left in range(self.endpoint.retries, -1, -1):
            try:
                return self.client.chat.completions.create(messages=messages, **self.settings)
            except openai.APIStatusError as error:
                wait = waiting.long_wait(error)
                if not left or not 0 < wait <= waiting.LONGEST_S or self.ended.wait(wait):
                    raise
                say(f"judge: waited {wait:.0f} s, as {self.endpoint.url} asked")
        raise AssertionError("the last try returns or raises")

    def without_key(self, text: str) -> str:
        """`text` without the key: some endpoints repeat it in their errors."""
        return text.replace(self.key, "(the key)") if self.key else text

    def explained(self, error: openai.OpenAIError) -> str:
        """Why asking ended, with what to do."""
        said = self.without_key(" ".join(str(error).split()))[:300]
        if isinstance(error, openai.AuthenticationError | openai.PermissionDeniedError):
            name = self.endpoint.key_variable or "none: name one as key_variable"
            return f"{self.endpoint.url} does not accept the key ({name}): {said}"
        if isinstance(error, openai.NotFoundError):
            return f"{self.endpoint.url} has no model {self.settings['model']!r}: {said}"
        if isinstance(error, openai.APIStatusError):
            if (wait := waiting.long_wait(error)) > waiting.LONGEST_S:
                return f"{self.endpoint.url} asks to wait {wait / 3600:.1f} h: {said}"
            if not waiting.passes(error):
                return f"{self.endpoint.url} refused a request: {said}"
        tries = self.endpoint.retries + 1
        return f"{self.endpoint.url} did not answer one request in {tries} tries: {said}"

    def spent_message(self, there: int, wanted: int) -> str:
        """That the budget is spent, with what to do."""
        return (
            f"the judge's budget of {self.endpoint.budget_usd:g} USD is spent: "
            f"{self.budget.spent:.4g} USD for {there} of {wanted} replies, and the next could "
            "exceed it. They are kept; raise budget_usd and run snakemake again"
        )


def _together(
    asking: _Asking, requests: Mapping[str, Messages], concurrency: int
) -> dict[str, Reply]:
    """All replies, so many at a time; the first error ends the asking, after what is under way has
    come and is kept.
    """
    found: dict[str, Reply] = {}
    with ThreadPoolExecutor(concurrency) as pool:
        names = {pool.submit(asking.ask, name, said): name for name, said in requests.items()}
        try:
            for number, future in enumerate(as_completed(names), start=1):
                reply = future.result()
                if reply is not None:
                    found[names[future]] = reply
                if number % STRIDE == 0 or number == len(names):
                    say(f"judge: {number}/{len(names)} asked, {asking.budget.spent:.4g} USD")
        except BaseException:
            asking.ended.set()
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return found


def _reply_of(answer: Any) -> Reply:
    """A chat completion as a reply.

    Raises
    ------
    ValueError
        where it is none.
    """
    if not isinstance(answer, ChatCompletion) or not isinstance(answer.choices, list):
        raise ValueError
    message = getattr(next(iter(answer.choices), None), "message", None)
    if not isinstance(message, ChatCompletionMessage):
        raise ValueError
    usage = answer.usage
    if not isinstance(usage, CompletionUsage | None):
        raise ValueError
    return Reply(
        _text_of(message.content),
        answer.choices[0].finish_reason or "",
        usage.prompt_tokens if usage else None,
        usage.completion_tokens if usage else None,
        answer.model,
    )


def _text_of(content: Any) -> Any:
    """The text of a message, also where a service sends it in parts; those of other kinds, such as
    what a judge thinks before it answers, are no part of it.
    """
    if not isinstance(content, list):
        return content or ""
    if not all(isinstance(part, dict) for part in content):
        raise ValueError
    texts = [part.get("text") for part in content if part.get("type") == "text"]
    if not all(isinstance(text, str) for text in texts):
        raise ValueError
    return "".join(texts)
