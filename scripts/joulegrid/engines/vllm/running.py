"""What vLLM is asked of a request, and what it says of it."""

from collections.abc import Mapping
from typing import Any

from vllm import SamplingParams
from vllm.sampling_params import RequestOutputKind

from joulegrid.engines import Completion, Request
from joulegrid.errors import InputError


def greedy(request: Request) -> SamplingParams:
    """Exactly so many tokens, none of which may be an end token; or at most so many."""
    return SamplingParams(
        temperature=0.0,
        max_tokens=request.new_tokens,
        min_tokens=0 if request.stops else request.new_tokens,
        output_kind=RequestOutputKind.FINAL_ONLY,
    )


def completion(output: Any, request: Request, began: float, now: float) -> Completion:
    """A finished request; vLLM's clock of tokens is this machine's monotonic one, as ours.

    Raises
    ------
    InputError
        where another number of tokens was written than was due.
    """
    (answer,) = output.outputs
    written = len(answer.token_ids)
    ended = request.stops and answer.finish_reason == "stop" and written <= request.new_tokens
    if not (ended or written == request.new_tokens):
        raise InputError(f"vLLM wrote {written} tokens, due were {request.new_tokens}")
    return Completion(
        tokens_read=len(output.prompt_token_ids),
        tokens_written=written,
        done_s=now - began,
        text=answer.text,
        first_token_s=output.metrics.first_token_ts - began,
        started_s=output.metrics.scheduled_ts - began,
    )


def begun(states: Mapping[str, Any], began: float) -> dict[int, float]:
    """When requests were scheduled that have their first token and are not finished: with that
    token vLLM's processes say it.
    """
    known = [state for state in states.values() if state.stats.scheduled_ts]
    return {int(state.external_req_id): state.stats.scheduled_ts - began for state in known}
