"""From a conversation to the text of its prompt: by the checkpoint's chat template, or by that of
the request, where the server trusts whoever asks.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from build_engine.checkpoint.chat import TemplateFault
from build_engine.errors import CheckpointError
from runtime.server.refusal import MALFORMED, OVERLOADED, Refused

if TYPE_CHECKING:
    from build_engine.checkpoint.chat import ChatSession
    from build_engine.checkpoint.tokenizer import Tokenizer

_MOST_KEPT = 4  # a process each
_WAIT_S = 1.0  # real templates take milliseconds


class Chats:
    """Renders conversations with a model of this tokenizer, which `trusting` says may be by
    templates of others. Any thread may ask.
    """

    def __init__(self, tokenizer: Tokenizer, model: str, *, trusting: bool) -> None:
        self._tokenizer = tokenizer
        self._model = model
        self._trusting = trusting
        self._lock = threading.Lock()
        self._brought: dict[str, ChatSession] = {}
        self._own: ChatSession | None
        try:
            self._own = tokenizer.chat().session()
        except CheckpointError:
            self._own = None

    def prompt(self, messages: Sequence[Mapping[str, str]], template: str | None) -> str:
        """The prompt after these messages. Raises Refused where there is no template, or where it
        does not take them.
        """
        if template is not None:
            return self._by(template, messages)
        if self._own is None:
            raise Refused(
                MALFORMED,
                f"`{self._model}` has no chat template; use /v1/completions.",
                parameter="messages",
            )
        try:
            return self._own.prompt(messages)
        except TemplateFault as fault:
            what = f"The model's chat template does not take these messages: {fault.reason}."
            raise Refused(MALFORMED, what, parameter="messages") from None

    def close(self) -> None:
        """End all processes. Idempotent."""
        with self._lock:
            for session in (self._own, *self._brought.values()):
                if session is not None:
                    session.close()

    def _by(self, template: str, messages: Sequence[Mapping[str, str]]) -> str:
        if not self._trusting:
            raise Refused(
                MALFORMED,
                "`chat_template` is a program of yours, which this server does not run; leave it "
                "out, or start the server with --trust-request-chat-template.",
                parameter="chat_template",
            )
        try:
            # one at a time, as a session that is closed must not begin anew; those who wait hold
            # threads that others need
            if not self._lock.acquire(timeout=_WAIT_S):
                raise Refused(
                    OVERLOADED, "Other chat templates are at work; come again.", retry_after_s=1
                )
            try:
                return self._session(template).prompt(messages)
            finally:
                self._lock.release()
        except TemplateFault as fault:
            what = f"`chat_template` cannot be used: {fault.reason}."
            raise Refused(MALFORMED, what, parameter="chat_template") from None

    def _session(self, template: str) -> ChatSession:
        """That of the template, which is the latest from now on."""
        session = self._brought.pop(template, None)
        if session is None:
            session = self._tokenizer.chat(template).session()
        self._brought[template] = session
        if len(self._brought) > _MOST_KEPT:
            self._brought.pop(next(iter(self._brought))).close()
        return session
