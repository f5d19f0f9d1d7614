"""Inference engines: one module per engine, named as in a study, with `load(weights, quantization,
hardware, options)`.

An engine runs requests. What it cannot do it raises as Unsupported, what does not fit as
OutOfMemory: both are results of a study, not errors.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True)
class Request:
    """One prompt to be continued.

    Parameters
    ----------
    new_tokens
        exactly how many tokens are generated, greedily.
    chat
        whether the prompt is wrapped in the model's chat template, where it has one.
    arrival_s
        seconds after the start of the run at which the request arrives; 0 in a batch.
    """

    prompt: str
    new_tokens: int
    chat: bool = True
    arrival_s: float = 0.0


@dataclass(frozen=True)
class Completion:
    """What became of a request.

    Parameters
    ----------
    tokens_read, tokens_written
        tokens of the prompt as the model saw it, without padding, and generated ones.
    done_s
        seconds after the start of the run at which it was complete.
    first_token_s
        the same for its first token; None where the engine does not say.
    """

    tokens_read: int
    tokens_written: int
    done_s: float
    text: str
    first_token_s: float | None = None


class Engine(Protocol):
    """A loaded model."""

    def run(self, requests: Sequence[Request]) -> list[Completion]:
        """Run all requests to their end.

        Prompts are tokenized when they are first seen, so that a repeated run spends nothing on it.

        Raises
        ------
        Unsupported
            where a prompt with its new tokens is longer than the model's context.
        OutOfMemory
            where they do not fit.
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
