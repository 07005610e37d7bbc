"""The answers as OpenAI's clients read them: whole, or as the events of a stream.

`return_token_ids` and what it adds are vLLM's.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from runtime.executor import TokenIds

FinishReason = Literal["stop", "length"]
DONE = b"data: [DONE]\n\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """One answer: `chat` is whether it is a message of a conversation."""

    chat: bool
    model: str
    fingerprint: str
    """Of the engine: another one may answer otherwise."""
    prompt_ids: TokenIds
    with_ids: bool
    usage_at_end: bool = False
    usage_always: bool = False
    id: str = field(default_factory=lambda: uuid.uuid4().hex)
    created: int = field(default_factory=lambda: int(time.time()))

    def whole(self, text: str, ids: Sequence[int], reason: FinishReason) -> bytes:
        """The one answer of a request that does not stream."""
        told: dict[str, object] = (
            {"message": {"role": "assistant", "content": text, "refusal": None}}
            if self.chat
            else {"text": text}
        )
        choice = {"index": 0, **told, "logprobs": None, "finish_reason": reason}
        document = self._document("chat.completion", [choice | self._told(ids, first=True)])
        document["usage"] = self._usage(len(ids))
        return _json(document)

    def event(
        self, text: str, ids: Sequence[int], reason: FinishReason | None, made: int, *, first: bool
    ) -> bytes:
        """New text and ids; `made` are the tokens so far."""
        delta: dict[str, object] = {"text": text}
        if self.chat:
            delta = {"delta": {**({"role": "assistant"} if first else {}), "content": text}}
        choice = {"index": 0, **delta, "logprobs": None, "finish_reason": reason}
        choices = [choice | self._told(ids, first=first)]
        document = self._document("chat.completion.chunk", choices, first=first)
        if self.usage_always:
            document["usage"] = self._usage(made)
        elif self.usage_at_end:
            document["usage"] = None
        return _event(document)

    def usage_event(self, made: int) -> bytes:
        """The last event, where it is asked for."""
        document = self._document("chat.completion.chunk", [], first=False)
        return _event({**document, "usage": self._usage(made)})

    def _document(
        self, chat_object: str, choices: list[dict[str, object]], *, first: bool = True
    ) -> dict[str, object]:
        prefix, name = ("chatcmpl", chat_object) if self.chat else ("cmpl", "text_completion")
        document: dict[str, object] = {
            "id": f"{prefix}-{self.id}",
            "object": name,
            "created": self.created,
            "model": self.model,
            "system_fingerprint": self.fingerprint,
            "choices": choices,
        }
        if self.chat and self.with_ids and first:
            document["prompt_token_ids"] = self.prompt_ids.tolist()
        return document

    def _told(self, ids: Sequence[int], *, first: bool) -> dict[str, object]:
        if not self.with_ids:
            return {}
        prompt = {"prompt_token_ids": self.prompt_ids.tolist()} if first and not self.chat else {}
        return {**prompt, "token_ids": list(ids)}

    def _usage(self, made: int) -> dict[str, int]:
        read = len(self.prompt_ids)
        return {"prompt_tokens": read, "completion_tokens": made, "total_tokens": read + made}


def error_event(body: dict[str, object]) -> bytes:
    """What ends a stream that cannot go on."""
    return _event(body)


def _event(document: dict[str, object]) -> bytes:
    return b"data: " + _json(document) + b"\n\n"


def _json(document: dict[str, object]) -> bytes:
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()
