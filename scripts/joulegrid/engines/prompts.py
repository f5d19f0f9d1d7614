"""What a model reads of a request: the same tokens on every engine."""

from collections.abc import Callable, Sequence
from typing import Any

from joulegrid.engines import Request
from joulegrid.errors import InputError, Unsupported

Encode = Callable[[str], list[int]]
# What decides the tokens of a request: its prompt, whether in a template, to how many it is cut
Text = tuple[str, bool, int | None]
# two prompts without a common beginning or end
PROBES = ("A", "7")


def text_of(request: Request) -> Text:
    """What the tokens of a request depend on: not when it arrives, nor what it asks for."""
    return request.prompt, request.chat, request.prompt_tokens


def tokens_of(request: Request, encode: Encode) -> list[int]:
    """Token ids of all that a model reads of a request.

    Where the request says how many they shall be, its text is repeated until they are enough, and
    cut at the end; what the template puts before and behind stays whole.

    Parameters
    ----------
    encode
        the tokens of a prompt with all that the model reads around it.

    Raises
    ------
    InputError
        where the prompt is empty, or has no room beside the template.
    """
    if not request.prompt.strip():
        raise InputError("a prompt is empty: there is nothing to continue")
    found, wanted = encode(request.prompt), request.prompt_tokens
    if wanted is None or len(found) == wanted:
        return found
    before, behind = _template(encode)
    if wanted <= before + behind:
        raise InputError(
            f"a prompt of {wanted} tokens is asked for, its template alone has {before + behind}: "
            "ask for more, or set chat: false in the workload"
        )
    times = 1
    while len(found) < wanted:
        times *= 2
        found = encode(" ".join([request.prompt] * times))
    return [*found[: wanted - behind], *found[len(found) - behind :]]


def _template(encode: Encode) -> tuple[int, int]:
    """How many tokens stand before and behind every prompt."""
    one, other = map(encode, PROBES)
    return _shared(one, other), _shared(one[::-1], other[::-1])


def _shared(one: Sequence[int], other: Sequence[int]) -> int:
    """How many first tokens two sequences share."""
    differing = (n for n, (a, b) in enumerate(zip(one, other, strict=False)) if a != b)
    return next(differing, min(len(one), len(other)))


def encoder(tokenizer: Any, chat: bool) -> Encode:
    """How a tokenizer of Hugging Face encodes a prompt: in the model's chat template, which has its
    own special tokens, where it has one and `chat` is asked for.
    """
    if not (chat and tokenizer.chat_template):
        return lambda text: tokenizer(text)["input_ids"]
    return lambda text: tokenizer(
        tokenizer.apply_chat_template(
            [{"role": "user", "content": text}], add_generation_prompt=True, tokenize=False
        ),
        add_special_tokens=False,
    )["input_ids"]


def check_context(prompt: Sequence[int], request: Request, context: int | None) -> None:
    """Raises Unsupported where a prompt and its answer are longer than the model's context."""
    longest = len(prompt) + request.new_tokens
    if context and longest > context:
        raise Unsupported(
            f"prompt and new tokens are {longest} tokens, the model's context is {context}"
        )
