"""Inference engines: one module per engine, named as in a study, with `load(weights, quantization,
hardware, options)`.

An engine runs requests. What it cannot do it raises as Unsupported, what does not fit as
OutOfMemory: both are results of a study, not errors.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True)
class Request:
    """One prompt to be continued.

    Parameters
    ----------
    new_tokens
        how many tokens are generated, greedily: exactly so many, or where it `stops`, at most.
    chat
        whether the prompt is wrapped in the model's chat template, where it has one.
    arrival_s
        seconds after the start of the run at which the request arrives; 0 in a batch.
    prompt_tokens
        exactly how many tokens the prompt shall be for the model, all that it reads included: its
        text is cut, or repeated, to them. None: as many as it has.
    stops
        whether the answer ends where the model ends it.
    """

    prompt: str
    new_tokens: int
    chat: bool = True
    arrival_s: float = 0.0
    prompt_tokens: int | None = None
    stops: bool = False


@dataclass(frozen=True)
class Completion:
    """What became of a request.

    Parameters
    ----------
    tokens_read, tokens_written
        tokens of the prompt as the model saw it, without padding, and generated ones; the token
        that ends an answer is one of them.
    done_s
        seconds after the start of the run at which it was complete; in a static batch, at which the
        last of the batch was.
    first_token_s
        the same for its first token; None where the engine does not say.
    started_s
        the same for the moment at which the engine took it up, until which it had waited.
    padding
        tokens that were computed for it and are none of it: what its batch was filled up with.
    """

    tokens_read: int
    tokens_written: int
    done_s: float
    text: str
    first_token_s: float | None = None
    started_s: float | None = None
    padding: int = 0


# told of completions as they come, of all that come at one time together, by the position of their
# request
Report = Callable[[Mapping[int, Completion]], None]


class Engine(Protocol):
    """A loaded model."""

    def run(
        self,
        requests: Sequence[Request],
        at_once: int | None = None,
        report: Report | None = None,
    ) -> list[Completion]:
        """Run all requests to their end, each from the moment it arrives.

        What is to be done before they run is done first, see `prepare`.

        Parameters
        ----------
        at_once
            how many may be under way at a time, where that is fewer than the engine's own limit;
            the next one starts as one ends.
        report
            told of every completion as it comes: a run that is cut short has those. It may raise
            what cuts the run short, and then has what came at the same time too.

        Raises
        ------
        Unsupported
            where a prompt with its new tokens is longer than the model's context.
        OutOfMemory
            where they do not fit.
        """
        ...

    def prepare(self, requests: Sequence[Request]) -> list[list[int]]:
        """Do all that comes before a run: tokenize prompts, see that they fit, make room for them.
        A run of the same requests spends nothing on it any more, whenever they arrive.

        Returns
        -------
        The tokens of each prompt as the model reads it.

        Raises
        ------
        Unsupported, OutOfMemory
            as `run`.
        """
        ...

    def begun(self) -> dict[int, float]:
        """When requests of the last run were taken up, as far as the engine knows: by position, in
        s after its start; those that are not complete, where a run was cut short, maybe others.
        """
        ...

    def describe(self) -> dict[str, Any]:
        """Say what really runs: `kernels` (kind of linear layer -> count), `weights_bytes` (of the
        loaded weights).
        """
        ...

    def memory(self) -> dict[str, int]:
        """Peak bytes so far: `ram` of the process and, on a GPU, `gpu` of all GPUs together."""
        ...
