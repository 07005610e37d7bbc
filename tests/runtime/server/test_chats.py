"""Chat templates that requests bring: only for those who are trusted, and a few at a time."""

from __future__ import annotations

from typing import Any

import psutil
import pytest

from build_engine.store.engine import Engine
from runtime.server import chats
from runtime.server.prompts import Prompts
from runtime.server.refusal import Refused
from tests.runtime.server.puppet import Puppet, echo, served

SAID = [{"role": "user", "content": " t5 t6 "}]
PLAIN = "{{- bos_token }}{%- for message in messages %}{{ message['content'] | trim }}{%- endfor %}"
"""Of MLPerf Endpoints' own benchmark of Llama-3.1-8B."""


def renderers() -> int:
    return sum(
        "build_engine.checkpoint.chat_worker" in child.cmdline()
        for child in psutil.Process().children()
    )


def test_a_request_brings_its_template_where_it_is_trusted(engine: Engine) -> None:
    puppet = Puppet(echo)
    with served(puppet, engine, trusts_templates=True) as server:
        own = server.post("/v1/chat/completions", {"messages": SAID})
        plain = server.post("/v1/chat/completions", {"messages": SAID, "chat_template": PLAIN})
        assert own.json["choices"][0]["message"]["content"].endswith("t5 t6 t90")
        assert plain.json["choices"][0]["message"]["content"].endswith("t5 t6")
        for template, says in (
            ("t5", "it leaves out what the user says"),
            ("{{ messages[0].content }}{{ 'x' * 99999999 }}", "it adds more than"),
            ("{% for", "cannot be used"),
            ("{{ raise_exception('no' * 9999999) }}", "cannot be used: nonono"),
        ):
            asked = {"messages": SAID, "chat_template": template}
            reply = server.post("/v1/chat/completions", asked)
            assert (reply.status, reply.json["error"]["param"]) == (400, "chat_template")
            assert says in reply.json["error"]["message"]
            assert len(reply.body) < 1000
    assert [request.prompt_ids.tolist() for request in puppet.asked] == [[5, 6, 90], [5, 6]]


def test_it_is_refused_where_it_is_not(engine: Engine) -> None:
    with served(Puppet(echo), engine) as server:
        asked: dict[str, Any] = {"messages": SAID, "chat_template": PLAIN}
        reply = server.post("/v1/chat/completions", asked)
        assert (reply.status, reply.json["error"]["param"]) == (400, "chat_template")
        assert "--trust-request-chat-template" in reply.json["error"]["message"]
        assert server.post("/v1/chat/completions", asked | {"chat_template": None}).status == 200


def test_who_would_wait_long_for_a_template_comes_again(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chats, "_WAIT_S", 0.01)
    found = Prompts.of(engine, trusts_templates=True).chats
    try:
        with found._lock, pytest.raises(Refused, match="come again") as refused:
            found.prompt(SAID, PLAIN)
        assert (refused.value.status, refused.value.headers) == (429, {"retry-after": "1"})
        assert found.prompt(SAID, PLAIN).endswith("t5 t6")
    finally:
        found.close()


def test_few_processes_are_kept_and_none_is_left(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chats, "_MOST_KEPT", 2)
    found = Prompts.of(engine, trusts_templates=True).chats
    before = renderers()
    for number in (1, 2, 1, 3, 1):
        template = f"{PLAIN} t{number}"
        assert found.prompt(SAID, template).endswith(f"t5 t6 t{number}")
    assert renderers() == before + 2
    with pytest.raises(Refused, match="cannot be used"):
        found.prompt(SAID, "{{ raise_exception('no') }}")
    found.close()
    assert renderers() == before
