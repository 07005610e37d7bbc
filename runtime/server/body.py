"""What a request asks for: the bodies of completions and of chats, read strictly.

An engine answers greedily. A setting that asks for anything else is refused and never ignored, and
so is a key that is not known here. Fields beside OpenAI's own are those of vLLM, by its names.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias, TypeVar

from pydantic import Field

from build_engine.files import Unreadable, parse_json
from build_engine.validation import Frozen, Invalid, validated
from runtime.server.refusal import MALFORMED, NO_SUCH_MODEL, TOO_LONG, Refused

if TYPE_CHECKING:
    from runtime.executor import TokenIds

_MOST_STOPS = 16
_MOST_STOP_IDS = 256
_MOST_TEMPLATE_CHARS = 2**16
_INT32 = 2**31

# Settings that change nothing of a greedy answer at these values; others ask for another answer.
_NEUTRAL: dict[str, tuple[object, ...]] = {
    "n": (1,),
    "best_of": (1,),
    "presence_penalty": (0,),
    "frequency_penalty": (0,),
    "repetition_penalty": (1,),
    "logit_bias": ({},),
    "logprobs": (False,),
    "top_logprobs": (0,),
    "echo": (False,),
    "suffix": ("",),
    "use_beam_search": (False,),
    "skip_special_tokens": (True,),
    "include_stop_str_in_output": (False,),
    "response_format": ({"type": "text"},),
    "tools": ([],),
    "tool_choice": ("none",),
}
# Settings that matter only where tokens are drawn; these values draw from all of them.
_OF_DRAWING: dict[str, tuple[object, ...]] = {"top_p": (1,), "top_k": (0, -1), "min_p": (0,)}
# Notes of the sender's, and a seed, on which a greedy answer does not depend.
_IGNORABLE = ("user", "seed", "metadata", "store", "service_tier")


class StreamOptions(Frozen):
    """What a stream says beside the answer."""

    include_usage: bool = False
    continuous_usage_stats: bool = False


_Tokens = Annotated[int, Field(ge=1, lt=_INT32)]
_TokenId = Annotated[int, Field(ge=0, lt=_INT32)]


class Asked(Frozen):
    """What both kinds of requests may say."""

    max_tokens: _Tokens | None = None
    max_completion_tokens: _Tokens | None = None
    """The newer name; it counts where both are given."""
    min_tokens: Annotated[int, Field(ge=0, lt=_INT32)] = 0
    stop: str | tuple[str, ...] = ()
    """Texts that end the answer and are no part of it."""
    stop_token_ids: Annotated[tuple[_TokenId, ...], Field(max_length=_MOST_STOP_IDS)] = ()
    """Ids that end the answer, beside the model's own."""
    ignore_eos: bool = False
    """Whether the model's own do not."""
    stream: bool = False
    stream_options: StreamOptions = StreamOptions()
    return_token_ids: bool = False
    """Whether the ids of the prompt and of the answer are told, too."""

    @property
    def most_tokens(self) -> int | None:
        """Tokens of the longest answer; None where it is left open."""
        return self.max_completion_tokens or self.max_tokens

    @property
    def stops(self) -> tuple[str, ...]:
        """`stop` as a list."""
        return (self.stop,) if isinstance(self.stop, str) else self.stop


class Completion(Asked):
    """The body of `/v1/completions` but for its prompt, which may hold many thousand ids."""

    add_special_tokens: bool = True
    """Whether a prompt of text begins as the checkpoint begins a text."""


class TextPart(Frozen):
    """A part of a message."""

    type: Literal["text"]
    text: str


class Message(Frozen):
    """One turn of a conversation."""

    role: Literal["system", "user", "assistant"]
    content: str | tuple[TextPart, ...]
    name: str | None = None

    @property
    def plain(self) -> dict[str, str]:
        """As chat templates take it."""
        content = self.content
        if not isinstance(content, str):
            content = "".join(part.text for part in content)
        return {"role": self.role, "content": content}


class Chat(Asked):
    """The body of `/v1/chat/completions`."""

    messages: Annotated[tuple[Message, ...], Field(min_length=1)]
    add_generation_prompt: Literal[True] = True
    chat_template: Annotated[str, Field(min_length=1, max_length=_MOST_TEMPLATE_CHARS)] | None = (
        None
    )
    """Instead of the checkpoint's."""


A = TypeVar("A", bound=Asked)
_Said: TypeAlias = dict[str, Any]


def read_completion(
    content: bytes, served: str, most_ids: int
) -> tuple[Completion, str | TokenIds]:
    """A body of `/v1/completions` and its prompt, of at most so many ids. Raises Refused."""
    said = _read(content, served)
    if "prompt" not in said:
        raise Refused(MALFORMED, "`prompt` is missing.", parameter="prompt")
    prompt = said.pop("prompt")
    return _validated(Completion, said), _prompt(prompt, most_ids)


def read_chat(content: bytes, served: str) -> Chat:
    """A body of `/v1/chat/completions`. Raises Refused."""
    return _validated(Chat, _read(content, served))


def _read(content: bytes, served: str) -> _Said:
    """The keys that say something. Raises Refused for sampling, and for another model than the one
    that is served.
    """
    try:
        said = parse_json(content)
    except Unreadable as problem:
        raise Refused(MALFORMED, f"The body {problem}.") from None
    if not isinstance(said, dict):
        raise Refused(MALFORMED, "The body must be a JSON object.")
    said = {key: value for key, value in said.items() if value is not None}
    model = said.pop("model", served)
    if model != served:
        raise Refused(
            NO_SUCH_MODEL,
            f"The model `{str(model)[:200]}` is not served here; the one that is: `{served}`.",
            parameter="model",
        )
    _require_greedy(said)
    for key in (*_NEUTRAL, *_OF_DRAWING, *_IGNORABLE, "temperature"):
        said.pop(key, None)
    return said


def _require_greedy(said: Mapping[str, Any]) -> None:
    matters = {"temperature": (0,), **_NEUTRAL}
    if "temperature" not in said:  # at 0 nothing is drawn, whatever these say
        matters |= _OF_DRAWING
    for key, neutral in matters.items():
        if key in said and not any(_same(said[key], value) for value in neutral):
            raise _not_greedy(key, said[key], neutral)


def _same(value: object, neutral: object) -> bool:
    """To Python 0 is false, and to OpenAI `logprobs: 0` asks for something."""
    return value == neutral and isinstance(value, bool) == isinstance(neutral, bool)


def _not_greedy(key: str, value: object, neutral: tuple[object, ...]) -> Refused:
    shown = str(value)[:100]
    return Refused(
        MALFORMED,
        f"`{key}` is {shown}, and this engine answers greedily, with one answer of plain text and "
        f"nothing beside it; leave it out, or give {neutral[0]!r}.",
        parameter=key,
    )


def _validated(model: type[A], said: _Said) -> A:
    try:
        asked = validated(model, said)
    except Invalid as problem:
        raise Refused(MALFORMED, str(problem)) from None
    if len(asked.stops) > _MOST_STOPS or not all(asked.stops):
        raise Refused(
            MALFORMED, f"`stop` has up to {_MOST_STOPS} texts, none empty.", parameter="stop"
        )
    return asked


def _prompt(value: object, most_ids: int) -> str | TokenIds:
    """One prompt: a text, ids, or a list with one of them."""
    import numpy as np

    if isinstance(value, list) and len(value) == 1 and isinstance(value[0], str | list):
        value = value[0]
    if isinstance(value, str):
        return value
    if isinstance(value, list) and value and isinstance(value[0], str | list):
        raise Refused(
            MALFORMED,
            f"`prompt` has {len(value)} prompts; send one a request: they are batched here.",
            parameter="prompt",
        )
    if isinstance(value, list) and len(value) > most_ids:  # before they are looked at
        raise Refused(
            TOO_LONG,
            f"The prompt has {len(value)} tokens, and the engine takes {most_ids}.",
            parameter="prompt",
        )
    # bool is an int to isinstance, and no id
    if not isinstance(value, list) or not all(type(each) is int for each in value):
        raise Refused(
            MALFORMED, "`prompt` must be a text or a list of token ids.", parameter="prompt"
        )
    if value and not 0 <= min(value) <= max(value) < _INT32:
        raise Refused(MALFORMED, "`prompt` has ids below 0 or above int32.", parameter="prompt")
    return np.array(value, np.int32)
