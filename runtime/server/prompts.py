"""From what a request asks for to what the executor is given."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from runtime.executor import Request
from runtime.server.chats import Chats
from runtime.server.refusal import MALFORMED, TOO_LONG, Refused

if TYPE_CHECKING:
    from build_engine.checkpoint.tokenizer import Tokenizer
    from build_engine.store.engine import Engine
    from runtime.executor import TokenIds, Unservable
    from runtime.server.body import Asked, Chat, Completion

_DEFAULT_TOKENS = 16  # of a completion, where the request does not say; OpenAI's


@dataclass(frozen=True, slots=True)
class Prompts:
    """Makes the prompts of one engine."""

    engine: Engine
    tokenizer: Tokenizer
    chats: Chats
    most_chars: int | None
    """That a prompt may have; None where the tokenizer has no such bound."""

    @classmethod
    def of(cls, engine: Engine, *, trusts_templates: bool = False) -> Prompts:
        """Those of an engine. Raises CheckpointError for a tokenizer that is missing or broken."""
        from build_engine.checkpoint.tokenizer import Tokenizer

        tokenizer = Tokenizer.load(engine.folder)
        chats = Chats(tokenizer, engine.model, trusting=trusts_templates)
        longest = tokenizer.longest_text()
        most_chars = None if longest is None else longest * engine.limits.max_input_len
        return cls(engine, tokenizer, chats, most_chars)

    @property
    def most_ids(self) -> int:
        """That a prompt may have."""
        return self.engine.limits.max_input_len

    def of_text(self, text: str, asked: Completion) -> TokenIds:
        """The ids of a text. Raises Refused for one that is far too long."""
        return self._ids(text, "prompt", special=asked.add_special_tokens)

    def of_chat(self, asked: Chat) -> TokenIds:
        """The ids of a conversation. Raises Refused for one that is far too long, and where there
        is no template that takes it.
        """
        messages = [message.plain for message in asked.messages]
        text = self.chats.prompt(messages, asked.chat_template)
        return self._ids(text, "messages", special=False)

    def request(self, number: int, ids: TokenIds, asked: Asked, *, chat: bool) -> Request:
        """What the executor is asked. Raises Refused for what the engine cannot take."""
        room = self._room(ids, _prompt_key(chat))
        most = asked.most_tokens or (room if chat else min(_DEFAULT_TOKENS, room))
        if most > room:
            raise Refused(
                TOO_LONG,
                f"The engine takes {self.engine.limits.max_seq_len} tokens, and the prompt has "
                f"{len(ids)} and the answer up to {most}; ask for {room} or fewer.",
                parameter="max_tokens",
            )
        if asked.min_tokens > most:
            raise Refused(
                MALFORMED,
                f"`min_tokens` is {asked.min_tokens}, and the answer has at most {most}.",
                parameter="min_tokens",
            )
        own = () if asked.ignore_eos else self.engine.stop_ids
        stop_ids = tuple(dict.fromkeys((*own, *asked.stop_token_ids)))
        return Request(
            number,
            ids,
            most,
            asked.min_tokens,
            stop_ids,
            ignore_eos=not stop_ids,
            streaming=asked.stream or bool(asked.stops),
        )

    def _ids(self, text: str, key: str, *, special: bool) -> TokenIds:
        # the library takes some 140 bytes for each character
        if self.most_chars is not None and len(text) > self.most_chars:
            raise Refused(
                TOO_LONG,
                f"The prompt has {len(text):,} characters, and the {self.most_ids} tokens that the "
                f"engine takes stand for {self.most_chars:,} at most.",
                parameter=key,
            )
        return self.tokenizer.encode(text, add_special_tokens=special)

    def _room(self, ids: TokenIds, key: str) -> int:
        """Tokens that an answer may have after the prompt that came under `key`."""
        limits, vocabulary = self.engine.limits, self.engine.vocab_size
        if not len(ids):
            raise Refused(MALFORMED, f"`{key}` is empty.", parameter=key)
        if len(ids) > limits.max_input_len:
            raise Refused(
                TOO_LONG,
                f"The prompt has {len(ids)} tokens, and the engine takes {limits.max_input_len}.",
                parameter=key,
            )
        if int(ids.max()) >= vocabulary:
            raise Refused(
                MALFORMED,
                f"`{key}` has the id {int(ids.max())}, and the vocabulary has {vocabulary}.",
                parameter=key,
            )
        return limits.max_seq_len - len(ids)


def refused(fault: Unservable, *, chat: bool) -> Refused:
    """What whoever asked is told of a request that the engine cannot serve."""
    keys = {
        "prompt_ids": _prompt_key(chat),
        "max_new_tokens": "max_tokens",
        "min_new_tokens": "min_tokens",
        "stop_ids": "stop_token_ids",
    }
    what = f"The engine cannot take this request: {fault.reason}."
    return Refused(MALFORMED, what, parameter=keys[fault.part])


def _prompt_key(chat: bool) -> str:
    return "messages" if chat else "prompt"
