"""Prompts that are far too long are known without tokenising them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from build_engine.store.engine import Engine
from runtime.server.body import Completion, read_chat
from runtime.server.prompts import Prompts
from runtime.server.refusal import Refused


@pytest.fixture
def prompts(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Prompts:
    """As if no token stood for more than two characters, with a tokenizer that may not be asked."""
    found = Prompts.of(engine)
    assert found.most_chars is None  # a word that is not known is one token

    def refuse(*texts: Any, **options: Any) -> Any:
        raise AssertionError("it was tokenised")

    monkeypatch.setattr(found.tokenizer, "encode", refuse)
    return replace(found, most_chars=2 * found.most_ids)


def test_a_text_that_cannot_fit_is_not_tokenised(prompts: Prompts) -> None:
    says = r"^The prompt has 97 characters, and the 48 tokens .* stand for 96 at most\.$"
    with pytest.raises(Refused, match=says) as caught:
        prompts.of_text("x" * 97, Completion())
    assert caught.value.status == 400
    with pytest.raises(AssertionError):
        prompts.of_text("x" * 96, Completion())


def test_nor_is_a_conversation(prompts: Prompts) -> None:
    asked = read_chat(b'{"messages": [{"role": "user", "content": "%s"}]}' % (b"x" * 97), "tiny")
    with pytest.raises(Refused) as caught:
        prompts.of_chat(asked)
    assert caught.value.body["error"]["param"] == "messages"  # type: ignore[index]
    prompts.chats.close()
