"""What a judge costs, and the most that it may."""

import threading
from dataclasses import dataclass

from joulegrid.errors import InputError
from joulegrid.judging.replies import Reply

MILLION = 1e6


class Spent(Exception):
    """The next request could cost more than the budget leaves."""


@dataclass(frozen=True)
class Price:
    """Of tokens read and written, in USD per million."""

    read: float
    written: float

    def of(self, reply: Reply) -> float:
        """What a reply cost, in USD; a refused request costs nothing.

        Raises
        ------
        InputError
            where the endpoint does not count tokens.
        """
        if reply.tokens_read is None or reply.tokens_written is None:
            raise InputError(
                "the endpoint does not say how many tokens it read and wrote, so that no cost "
                "can be counted: leave out the judge's prices and budget"
            )
        return (self.read * reply.tokens_read + self.written * reply.tokens_written) / MILLION

    def at_most(self, messages: list[dict[str, str]], most_tokens: int) -> float:
        """More than a request can cost, in USD: a token has one byte at least, and chat formats
        add few.
        """
        size = sum(len(message["content"].encode()) + 64 for message in messages)
        return (self.read * size + self.written * most_tokens) / MILLION


class Budget:
    """Lets a request go only if all that are under way, and it, cannot exceed the limit.

    Parameters
    ----------
    limit
        in USD, None for none.
    spent
        in USD, for replies that are there already.
    """

    def __init__(self, limit: float | None, spent: float = 0.0):
        self.limit, self.spent = limit, spent
        self._under_way = 0.0
        self._changed = threading.Condition()

    def reserve(self, most: float) -> None:
        """Wait until a request that costs `most` at most may go.

        Raises
        ------
        Spent
            where it may not, whatever those under way cost.
        """
        with self._changed:
            while self.limit is not None and self.spent + self._under_way + most > self.limit:
                if self.spent + most > self.limit or not self._under_way:
                    raise Spent
                self._changed.wait()
            self._under_way += most

    def settle(self, most: float, cost: float) -> None:
        """What was reserved for a request is free, and what it cost is spent."""
        with self._changed:
            self._under_way = max(self._under_way - most, 0.0)
            self.spent += cost
            self._changed.notify_all()
