"""The bodies of requests: what is taken, and what is refused and never ignored."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from runtime.server.body import Completion, read_chat, read_completion
from runtime.server.refusal import Refused


def read(**fields: Any) -> tuple[Completion, Any]:
    return read_completion(json.dumps({"prompt": [1, 2], **fields}).encode(), "tiny", 1000)


def refused(**fields: Any) -> Refused:
    with pytest.raises(Refused) as caught:
        read(**fields)
    return caught.value


@pytest.mark.parametrize(
    "fields",
    [
        {"temperature": 0, "top_p": 0.5, "top_k": 40, "seed": 7},
        {"temperature": None, "n": 1, "logprobs": None, "stop": None, "unheard_of": None},
        {"top_p": 1.0, "top_k": -1, "presence_penalty": 0.0, "echo": False, "tools": []},
        {"model": "tiny", "user": "x", "repetition_penalty": 1.0, "logit_bias": {}},
    ],
)
def test_settings_that_change_nothing_are_taken(fields: dict[str, Any]) -> None:
    asked, prompt = read(**fields)
    assert asked == Completion()
    assert prompt.dtype == np.int32
    assert prompt.tolist() == [1, 2]


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"temperature": 0.7}, "`temperature` is 0.7, and this engine answers greedily"),
        ({"temperature": True}, "`temperature` is True"),
        ({"top_p": 0.9}, "`top_p` is 0.9"),
        ({"top_k": 5}, "`top_k` is 5"),
        ({"n": 2}, "`n` is 2"),
        ({"logprobs": 0}, "`logprobs` is 0"),
        ({"presence_penalty": 0.5}, "`presence_penalty` is 0.5"),
        ({"logit_bias": {"5": 1}}, "`logit_bias` is {'5': 1}"),
        ({"echo": True}, "`echo` is True"),
        ({"response_format": {"type": "json_object"}}, "`response_format`"),
        ({"max_token": 5}, "`max_token` is not a key. Did you mean `max_tokens`?"),
        ({"max_tokens": 0}, "`max_tokens` must"),
        ({"max_tokens": 1.5}, "`max_tokens` must"),
        ({"max_tokens": "5"}, "`max_tokens` must"),
        ({"stop": ["x"] * 17}, "`stop` has up to 16 texts, none empty."),
        ({"stop": ""}, "`stop` has up to 16 texts, none empty."),
        ({"stop_token_ids": [5] * 257}, "`stop_token_ids` must"),
        ({"prompt": [5] * 1001}, "The prompt has 1001 tokens, and the engine takes 1000."),
        ({"stop_token_ids": [-1]}, "`stop_token_ids.0` must"),
        ({"stream_options": {"usage": True}}, "`stream_options.usage` is not a key"),
        ({"prompt": ["a", "b"]}, "`prompt` has 2 prompts"),
        ({"prompt": [[1], [2]]}, "`prompt` has 2 prompts"),
        ({"prompt": [1, True]}, "`prompt` must be a text or a list of token ids."),
        ({"prompt": {"a": 1}}, "`prompt` must be a text or a list of token ids."),
        ({"prompt": [1, -2]}, "`prompt` has ids below 0 or above int32."),
        ({"prompt": [2**31]}, "`prompt` has ids below 0 or above int32."),
        ({"prompt": None}, "`prompt` is missing."),
    ],
)
def test_what_cannot_be_done_as_asked_is_refused(fields: dict[str, Any], says: str) -> None:
    fault = refused(**fields)
    assert says in str(fault)
    assert fault.status == 400
    assert fault.body["error"]["type"] == "invalid_request_error"  # type: ignore[index]


def test_another_model_is_not_here() -> None:
    fault = refused(model="gpt")
    assert fault.status == 404
    assert str(fault) == "The model `gpt` is not served here; the one that is: `tiny`."


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"3",
        b"\xff",
        b'{"prompt": "a", "prompt": "b"}',
        b"[" * 100_000,
        *(b'{"%s": "\xed\xa0\x80"}' % key for key in (b"prompt", b"model", b"n", b"stop")),
        '{"prompt": "\\ud800"}'.encode("utf-16"),
        b'{"prompt": "\\ud800"}',
    ],
)
def test_a_body_that_is_none_is_refused(content: bytes) -> None:
    with pytest.raises(Refused, match=r"^The body (is|must|has|says|holds)") as caught:
        read_completion(content, "tiny", 1000)
    assert caught.value.status == 400


@pytest.mark.parametrize("prompt", ["a text", ["a text"]])
def test_a_text_stays_a_text(prompt: Any) -> None:
    assert read(prompt=prompt)[1] == "a text"


def test_a_list_of_one_list_is_one_prompt() -> None:
    assert read(prompt=[[3, 4]])[1].tolist() == [3, 4]


def test_the_newer_name_of_a_limit_counts() -> None:
    assert read(max_tokens=5, max_completion_tokens=6)[0].most_tokens == 6


def chat(*messages: Any) -> bytes:
    return json.dumps({"messages": messages}).encode()


def test_the_parts_of_a_message_are_one_text() -> None:
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    asked = read_chat(chat({"role": "user", "content": parts}), "tiny")
    assert [message.plain for message in asked.messages] == [{"role": "user", "content": "ab"}]


@pytest.mark.parametrize(
    "message",
    [
        {"role": "wizard", "content": "a"},
        {"role": "user"},
        {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]},
        "hello",
    ],
)
def test_a_message_that_is_none_is_refused(message: Any) -> None:
    with pytest.raises(Refused):
        read_chat(chat(message), "tiny")


def test_a_chat_has_a_message() -> None:
    with pytest.raises(Refused, match="messages"):
        read_chat(chat(), "tiny")
