"""One run: questions to the server as requests arrive, and what becomes of them."""

import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import Any

from joulegrid.engines import Completion, Report, Request
from joulegrid.engines.llamacpp.server import Server
from joulegrid.errors import InputError

GREEDY = {"samplers": ["top_k"], "top_k": 1, "temperature": 0, "cache_prompt": False}
MS_PER_S = 1000


@dataclass
class Run:
    """Requests with the tokens of their prompts, from now on.

    Threads ask and wait; they outlive a run that is cut short, until they are answered.

    Parameters
    ----------
    begun
        when slots began with requests, s, by position.
    """

    server: Server
    requests: Sequence[Request]
    prompts: Sequence[list[int]]
    began: float = field(default_factory=time.perf_counter)
    begun: dict[int, float] = field(default_factory=dict)
    _answered: SimpleQueue[tuple[int, Completion] | Exception] = field(default_factory=SimpleQueue)
    _cut: threading.Event = field(default_factory=threading.Event)

    def ask_for(self, numbers: list[int]) -> None:
        """Ask for some requests at once, when they have arrived; all of them are alike."""
        self._start([deque([numbers])])

    def ask_for_each(self, at_once: int) -> None:
        """Ask for one request after the other, so that `at_once` are under way."""
        order = sorted(range(len(self.requests)), key=lambda n: self.requests[n].arrival_s)
        self._start([deque([n] for n in order)] * min(at_once, len(order)))

    def _start(self, queues: list[deque[list[int]]]) -> None:
        for waiting in queues:
            threading.Thread(target=self._work, args=(waiting,), daemon=True).start()

    def completions(self, report: Report | None) -> list[Completion]:
        """Wait for all of them."""
        done: dict[int, Completion] = {}
        try:
            while len(done) < len(self.requests):
                found = self._answered.get()
                if isinstance(found, Exception):
                    raise found
                number, done[number] = found
                if report:
                    report({number: done[number]})
        finally:
            self._cut.set()
        return [done[number] for number in range(len(self.requests))]

    def _work(self, waiting: deque[list[int]]) -> None:
        """Ask for what waits until nothing does."""
        while True:
            try:
                numbers = waiting.popleft()
            except IndexError:
                return
            arrival_s = self.requests[numbers[0]].arrival_s
            if self._cut.wait(max(0, arrival_s - (time.perf_counter() - self.began))):
                return
            try:
                self._ask(numbers)
            except Exception as error:
                self._answered.put(error)
                return

    def _ask(self, numbers: list[int]) -> None:
        question = {
            "prompt": [self.prompts[number] for number in numbers],
            "n_predict": self.requests[numbers[0]].new_tokens,
            "ignore_eos": not self.requests[numbers[0]].stops,
            "return_progress": True,
            **GREEDY,
        }
        left = set(numbers)
        for answer in self.server.continued(question):
            done_s = time.perf_counter() - self.began
            number = numbers[answer["index"]]
            if "prompt_progress" in answer:
                read_s = answer["prompt_progress"]["time_ms"] / MS_PER_S
                self.begun.setdefault(number, done_s - read_s)
                continue
            left.remove(number)
            self._answered.put((number, self._completion(number, answer, done_s)))
        if left:
            raise InputError(f"llama.cpp ended without an answer to {len(left)} prompts")

    def _completion(self, number: int, answer: dict[str, Any], done_s: float) -> Completion:
        """What the server says of a request, whose end token counts as predicted.

        Raises InputError where it read or wrote another number of tokens than were due.
        """
        request, due = self.requests[number], len(self.prompts[number])
        read, written = answer["timings"]["prompt_n"], answer["tokens_predicted"]
        ended = request.stops and answer["stop_type"] == "eos" and written <= request.new_tokens
        if read != due or not (ended or written == request.new_tokens):
            raise InputError(
                f"llama.cpp read {read} and wrote {written} tokens, due were {due} and "
                f"{request.new_tokens}"
            )
        first_s = done_s - answer["timings"]["predicted_ms"] / MS_PER_S
        return Completion(
            tokens_read=read,
            tokens_written=written,
            done_s=done_s,
            text=answer["content"],
            first_token_s=first_s,
            started_s=first_s - answer["timings"]["prompt_ms"] / MS_PER_S,
        )
