"""What a server is asked, and what its answers say: `/v1/completions` as the servers read it.

All of them take a list of ids as the prompt, and `ignore_eos` and `temperature` 0, which is greedy.
How they tell the ids of an answer differs:

- vLLM and SGLang by `return_token_ids`, in `token_ids` of a choice (CompletionRequest and
  CompletionResponseStreamChoice in vllm/entrypoints/openai/completion/protocol.py and in
  sglang/srt/entrypoints/openai/protocol.py); so does the server of this project. The id that ended
  the answer is among them.
- llama.cpp by `return_tokens` with `verbose`, in `__verbose.tokens` (to_json_oaicompat and
  to_json_non_oaicompat of its server's results); `response_fields` keeps the rest of `__verbose`
  out. `cache_prompt` is on there unless a request switches it off.
- TensorRT-LLM's by `detokenize: false`, in `token_ids` of a choice, which then has no text
  (completion_stream_post_processor in tensorrt_llm/serve/postprocess_handlers.py). It refuses a
  field that it does not know (`extra="forbid"` in openai_protocol.py), as ours does, so that
  `min_tokens`, unknown to llama.cpp, is sent only where it asks for something.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import BaseModel, Field, ValidationError

from runtime.endpoint.events import Malformed

if TYPE_CHECKING:
    from runtime.endpoint.identity import IdsBy
    from runtime.executor import Request

_ASKED: dict[IdsBy, dict[str, object]] = {
    "return_token_ids": {"return_token_ids": True},
    "return_tokens": {
        "return_tokens": True,
        "verbose": True,
        "response_fields": ["tokens"],
        "cache_prompt": False,
    },
    "detokenize": {"detokenize": False},
    "text": {},
}
_INT32 = 2**31


class _Choice(BaseModel):
    text: str | None = None
    token_ids: list[int] | None = None
    finish_reason: str | None = None


class _Verbose(BaseModel):
    tokens: list[int] | None = None


class _Error(BaseModel):
    message: str | None = None


class _Answer(BaseModel):
    """An event, or a whole answer; what else is in it does not matter here."""

    choices: list[_Choice] | None = None
    verbose: _Verbose | None = Field(default=None, alias="__verbose")
    error: _Error | str | None = None
    system_fingerprint: str | None = None


@dataclass(frozen=True, slots=True)
class News:
    """What came of an answer: `ids` is None where the server tells none, `reason` is why the answer
    has ended, None while it goes on.
    """

    text: str
    ids: list[int] | None
    reason: str | None
    error: str | None = None
    fingerprint: str | None = None


def body_of(request: Request, model: str, ids_by: IdsBy, prompt: str | list[int]) -> bytes:
    """The body of a request for this answer."""
    asked: dict[str, object] = {
        "model": model,
        "prompt": prompt,
        "max_tokens": request.max_new_tokens,
        "temperature": 0,
        "stream": request.streaming,
        **_ASKED[ids_by],
    }
    if request.min_new_tokens > 1:
        asked["min_tokens"] = request.min_new_tokens
    if request.ignore_eos:
        asked["ignore_eos"] = True
    return json.dumps(asked, separators=(",", ":")).encode()


def read_news(content: bytes) -> News:
    """What an event, or a whole answer, says. Raises Malformed."""
    try:
        answer = _Answer.model_validate_json(content)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"])) or "it"
        raise Malformed(f"an answer is not as OpenAI's are: {where}: {first['msg']}") from None
    if answer.error is not None:
        told = answer.error if isinstance(answer.error, str) else answer.error.message
        return News("", None, None, told or "an error without a text")
    if not answer.choices:
        return News("", None, None, fingerprint=answer.system_fingerprint)
    choice, verbose = answer.choices[0], answer.verbose
    ids = choice.token_ids if verbose is None else verbose.tokens
    if ids and not 0 <= min(ids) <= max(ids) < _INT32:
        raise Malformed("an answer has ids below 0 or above int32")
    ended = choice.finish_reason or None  # some say "" as long as it goes on
    return News(choice.text or "", ids, ended, fingerprint=answer.system_fingerprint)
