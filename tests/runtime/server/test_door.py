"""The server over loopback: what OpenAI's own client reads, and what becomes of every request."""

from __future__ import annotations

import contextlib
import hashlib
import json
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import openai
import pytest

from build_engine.store.engine import Engine
from runtime.executor import NO_CACHE_LEFT, Request, Unservable
from runtime.server import app
from tests.runtime.server.puppet import Puppet, Served, echo, served, silence

WORDS = "t5 t6 t7 t8"


def until(holds: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < deadline_s
        time.sleep(0.01)


def open_requests(server: Served) -> float:
    return figure(server, "enginebench_requests_open")


def figure(server: Served, name: str) -> float:
    lines = server.get("/metrics").body.decode().splitlines()
    return float(next(line.split()[-1] for line in lines if line.startswith(f"{name} ")))


def test_openais_client_reads_whole_answers_and_streams(engine: Engine) -> None:
    with (
        served(Puppet(echo), engine) as server,
        openai.OpenAI(base_url=server.url, api_key="none", max_retries=0) as client,
    ):
        whole = client.completions.create(model="tiny", prompt=WORDS, max_tokens=3)
        assert (whole.choices[0].text, whole.choices[0].finish_reason) == ("t5 t6 t7", "length")
        assert whole.usage is not None
        assert (whole.usage.prompt_tokens, whole.usage.completion_tokens) == (4, 3)
        chat = client.chat.completions.create(
            model="tiny",
            messages=[{"role": "system", "content": "t5"}, {"role": "user", "content": "t6"}],
        )
        assert chat.choices[0].message.content == "t5 t6 t90"
        events = list(
            client.chat.completions.create(
                model="tiny",
                messages=[{"role": "user", "content": WORDS}],
                stream=True,
                stream_options={"include_usage": True},
            )
        )
        told = [event.choices[0].delta.content or "" for event in events if event.choices]
        assert "".join(told) == f"{WORDS} t90"
        assert events[0].choices[0].delta.role == "assistant"
        assert events[-1].usage is not None
        assert events[-1].usage.completion_tokens == 5
        [model] = client.models.list().data
        assert model.id == "tiny"


def test_ids_go_in_and_come_out(engine: Engine) -> None:
    puppet = Puppet(echo)
    with served(puppet, engine) as server:
        asked = {"prompt": [5, 6, 2, 7], "max_tokens": 9, "return_token_ids": True}
        [choice] = server.complete(**asked).json["choices"]
        assert (choice["prompt_token_ids"], choice["token_ids"]) == ([5, 6, 2, 7], [5, 6, 2, 7])
        events = server.complete(**asked, stream=True).events
        assert events[-1] is None
        choices = [event["choices"][0] for event in events[:-1]]
        assert [i for each in choices for i in each["token_ids"]] == [5, 6, 2, 7]
        assert [("prompt_token_ids" in each) for each in choices] == [True] + [False] * (
            len(choices) - 1
        )
        assert "usage" not in events[0]
        reply = server.post(
            "/v1/chat/completions",
            {"messages": [{"role": "user", "content": "t5"}], "return_token_ids": True},
        )
        assert reply.json["prompt_token_ids"] == reply.json["choices"][0]["token_ids"]
    assert puppet.asked[0].streaming is False
    assert puppet.asked[1].streaming is True


def test_what_the_executor_is_asked(engine: Engine) -> None:
    puppet = Puppet(echo)
    with served(puppet, engine) as server:
        server.complete(prompt=[5, 6])
        server.complete(prompt=[5, 6], ignore_eos=True, min_tokens=1, max_tokens=2)
        server.complete(prompt=[5, 6], ignore_eos=True, stop_token_ids=[9, 9])
        server.complete(prompt=[5, 6], stop_token_ids=[9])
        server.post("/v1/chat/completions", {"messages": [{"role": "user", "content": "t5"}]})
    assert [
        (r.max_new_tokens, r.min_new_tokens, r.stop_ids, r.ignore_eos) for r in puppet.asked
    ] == [
        (16, 0, (2,), False),
        (2, 1, (), True),
        (16, 0, (9,), False),
        (16, 0, (2, 9), False),
        (64 - 2, 0, (2,), False),
    ]


def test_an_answer_ends_for_a_reason(engine: Engine) -> None:
    def stop(puppet: Puppet, request: Request) -> None:
        puppet.give(request, 5, 6, 2)
        puppet.give(request, last=True)

    puppet = Puppet(stop)
    with served(puppet, engine) as server:
        [choice] = server.complete(prompt=[5], max_tokens=9).json["choices"]
        assert (choice["text"], choice["finish_reason"]) == ("t5 t6", "stop")
        events = server.complete(prompt=[5], max_tokens=9, stream=True).events[:-1]
        *others, last = [event["choices"][0]["finish_reason"] for event in events]
        assert last == "stop"
        assert set(others) <= {None}


@pytest.mark.parametrize("stream", [False, True])
def test_a_stop_text_ends_an_answer_and_the_engines_work(engine: Engine, stream: bool) -> None:
    def go_on(puppet: Puppet, request: Request) -> None:
        puppet.give(request, 5, 6, 7)

    puppet = Puppet(go_on)
    with served(puppet, engine) as server:
        reply = server.complete(prompt=[5], stop=" t6", stream=stream)
        choice = (reply.events[-2] if stream else reply.json)["choices"][0]
        assert (choice["text"], choice["finish_reason"]) == ("t5", "stop")
        until(lambda: puppet.cancelled == [1])
        until(lambda: open_requests(server) == 0)


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"prompt": [5] * 49}, "The prompt has 49 tokens, and the engine takes 48."),
        ({"prompt": [5] * 10, "max_tokens": 55}, "ask for 54 or fewer"),
        ({"prompt": []}, "`prompt` is empty."),
        ({"prompt": [96]}, "`prompt` has the id 96, and the vocabulary has 96."),
        ({"prompt": [5], "min_tokens": 17}, "the answer has at most 16"),
        ({"prompt": [5], "temperature": 1}, "greedily"),
    ],
)
def test_what_the_engine_cannot_do_is_400(engine: Engine, asked: Any, says: str) -> None:
    puppet = Puppet(echo)
    with served(puppet, engine) as server:
        reply = server.complete(**asked)
        assert (reply.status, reply.json["error"]["type"]) == (400, "invalid_request_error")
        assert says in reply.json["error"]["message"]
        assert open_requests(server) == 0
    assert puppet.asked == []


@pytest.mark.parametrize("key", ["prompt", "model", "n", "stop"])
def test_bytes_that_are_no_text_are_400(engine: Engine, key: str) -> None:
    with served(Puppet(echo), engine) as server:
        body = b'{"prompt": [5], "%s": "\xed\xa0\x80"}' % key.encode()
        reply = server.post("/v1/completions", body)
        assert reply.status == 400
        assert reply.json["error"]["message"] == "The body is not UTF-8 text."


def test_other_refusals_have_their_status(engine: Engine) -> None:
    with served(Puppet(echo), engine) as server:
        replies = {
            400: server.post("/v1/completions", b"{"),
            404: server.get("/v1/nothing"),
            405: server.get("/v1/completions"),
            413: server.post("/v1/completions", {"prompt": "x" * 20_000}),
            415: server.post("/v1/completions", b"{}", **{"content-type": "text/plain"}),
        }
        chunked = iter([b"x" * 6000] * 2)
        with contextlib.closing(server.connection()) as line:
            line.request("POST", "/v1/completions", chunked, {"content-type": "application/json"})
            assert line.getresponse().status == 413
        chat = server.post(
            "/v1/chat/completions", {"messages": [{"role": "user", "content": "t9"}]}
        )
        assert chat.status == 400
        assert "no t9, please" in chat.json["error"]["message"]
        long = server.post(
            "/v1/chat/completions", {"messages": [{"role": "user", "content": "t5 " * 60}]}
        )
        assert (long.status, long.json["error"]["param"]) == (400, "messages")
        again = server.post(
            "/v1/chat/completions", {"messages": [{"role": "user", "content": "t8"}]}
        )
        assert again.status == 200
        assert server.get("/health").json == {"status": "ok"}
        assert "version" in server.get("/version").json
        assert open_requests(server) == 0
    for status, reply in replies.items():
        assert reply.status == status
        assert set(reply.json["error"]) == {"message", "type", "param", "code"}


def test_a_body_that_never_comes_is_given_up(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app, "_BODY_S", 0.1)
    head = "POST /v1/completions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
    with served(Puppet(echo), engine) as server:
        with socket.create_connection(("127.0.0.1", server.port), 30) as line:
            line.sendall(f"{head}content-length: 9\r\n\r\n".encode())
            assert line.recv(4096).startswith(b"HTTP/1.1 408")
        with socket.create_connection(("127.0.0.1", server.port), 30) as line:
            line.sendall(f"{head}content-length: 9\r\n\r\n".encode())
        until(lambda: open_requests(server) == 0)


def test_only_the_key_opens(engine: Engine) -> None:
    digest = hashlib.sha256(b"sesame").digest()
    with served(Puppet(echo), engine, key_digest=digest) as server:
        for headers in ({}, {"authorization": "Bearer open"}, {"authorization": "Basic sesame"}):
            for path in ("/v1/models", "/metrics", "/version"):
                reply = server.get(path, **headers)
                assert (reply.status, reply.json["error"]["code"]) == (401, "invalid_api_key")
            assert server.post("/v1/completions", {"prompt": [5]}, **headers).status == 401
        assert server.get("/health").status == 200
        key = {"authorization": "Bearer sesame"}
        assert server.post("/v1/completions", {"prompt": [5]}, **key).status == 200


def test_more_than_there_is_room_for_comes_again(engine: Engine) -> None:
    puppet = Puppet(silence)
    with served(puppet, engine, max_requests=3) as server, ThreadPoolExecutor() as pool:
        waiting = [pool.submit(server.complete, prompt=[5], max_tokens=1) for _ in range(3)]
        until(lambda: len(puppet.asked) == 3)
        reply = server.complete(prompt=[5])
        assert (reply.status, reply.json["error"]["code"]) == (429, "rate_limit_exceeded")
        assert int(reply.headers["retry-after"]) >= 1
        for request in puppet.asked:
            puppet.give(request, 5, last=True)
        assert [each.result().status for each in waiting] == [200] * 3
        until(lambda: open_requests(server) == 0)
        puppet._act = echo
        assert server.complete(prompt=[5]).status == 200


def test_200_at_once_are_all_answered(engine: Engine) -> None:
    held = list[Request]()

    def wait_for_all(puppet: Puppet, request: Request) -> None:
        held.append(request)
        if len(held) == 200:
            for each in held:
                echo(puppet, each)

    with (
        served(Puppet(wait_for_all), engine, max_requests=200) as server,
        ThreadPoolExecutor(200) as pool,
    ):
        prompts = [[5 + i % 90, 5 + i // 90] for i in range(200)]
        replies = pool.map(
            lambda ids: server.complete(
                prompt=ids, max_tokens=2, stream=ids[0] % 2 == 0, return_token_ids=True
            ),
            prompts,
        )
        for ids, reply in zip(prompts, replies, strict=True):
            events = reply.events[:-1] if ids[0] % 2 == 0 else [reply.json]
            assert [i for event in events for i in event["choices"][0]["token_ids"]] == ids
        assert figure(server, "enginebench_generated_tokens_total") == 400


@pytest.mark.parametrize("stream", [False, True])
def test_whoever_hangs_up_frees_the_place_and_the_engine(engine: Engine, stream: bool) -> None:
    puppet = Puppet(lambda puppet, request: puppet.give(request, 5))
    with served(puppet, engine, max_requests=1) as server:
        with contextlib.closing(server.connection()) as line:
            body = json.dumps({"prompt": [5], "stream": stream})
            line.request("POST", "/v1/completions", body, {"content-type": "application/json"})
            until(lambda: len(puppet.asked) == 1)
            if stream:
                assert line.getresponse().readline().startswith(b"data: ")
        until(lambda: puppet.cancelled == [1])
        until(lambda: open_requests(server) == 0)
        puppet._act = echo
        assert server.complete(prompt=[5]).status == 200


def test_an_engine_that_cannot_cancel_keeps_the_place_until_it_is_done(engine: Engine) -> None:
    class Stubborn(Puppet):
        cancel = None  # type: ignore[assignment]

    puppet = Stubborn(silence)
    with served(puppet, engine, max_requests=1) as server:
        with contextlib.closing(server.connection()) as line:
            line.request(
                "POST", "/v1/completions", b'{"prompt": [5]}', {"content-type": "application/json"}
            )
            until(lambda: len(puppet.asked) == 1)
        time.sleep(0.2)
        assert server.complete(prompt=[5]).status == 429
        puppet.give(puppet.asked[0], 5)
        puppet.give(puppet.asked[0], 6, last=True)
        until(lambda: open_requests(server) == 0)


def test_a_request_that_fails_in_the_engine_says_so(engine: Engine) -> None:
    def fail(puppet: Puppet, request: Request) -> None:
        puppet.give(request, 5)
        puppet.give(request, last=True, error="no cache left")

    with served(Puppet(fail), engine) as server:
        reply = server.complete(prompt=[5])
        assert reply.status == 500
        assert reply.json["error"]["message"] == "The engine failed: no cache left."
        *_, last = server.complete(prompt=[5], stream=True).events
        assert last["error"]["message"] == "The engine failed: no cache left."
        assert open_requests(server) == 0


@pytest.mark.parametrize(
    ("part", "key", "chat_key"),
    [
        ("prompt_ids", "prompt", "messages"),
        ("max_new_tokens", "max_tokens", "max_tokens"),
        ("min_new_tokens", "min_tokens", "min_tokens"),
        ("stop_ids", "stop_token_ids", "stop_token_ids"),
    ],
)
def test_what_the_engine_would_refuse_is_400_before_it_is_asked(
    engine: Engine, part: Any, key: str, chat_key: str
) -> None:
    class Wise(Puppet):
        def unservable(self, request: Request) -> Unservable | None:
            return Unservable(part, "it asks for the moon") if request.min_new_tokens else None

    puppet = Wise(echo)
    chat = {"messages": [{"role": "user", "content": "t5"}], "min_tokens": 2}
    with served(puppet, engine) as server:
        for reply, name in (
            (server.complete(prompt=[5], min_tokens=2), key),
            (server.complete(prompt=[5], min_tokens=2, stream=True), key),
            (server.post("/v1/chat/completions", chat), chat_key),
        ):
            assert (reply.status, reply.json["error"]["param"]) == (400, name)
            assert "it asks for the moon" in reply.json["error"]["message"]
        assert puppet.asked == []
        assert open_requests(server) == 0
        assert server.complete(prompt=[5]).status == 200


def test_an_engine_that_is_full_asks_to_come_again(engine: Engine) -> None:
    def fill(puppet: Puppet, request: Request) -> None:
        puppet.give(request, last=True, error=NO_CACHE_LEFT)

    with served(Puppet(fill), engine) as server:
        reply = server.complete(prompt=[5])
        assert (reply.status, reply.json["error"]["code"]) == (503, "overloaded")
        assert int(reply.headers["retry-after"]) >= 1


def test_an_engine_that_dies_ends_the_open_requests_and_the_server(engine: Engine) -> None:
    puppet = Puppet(silence)
    replies = list[Any]()
    with served(puppet, engine) as server:
        thread = threading.Thread(target=lambda: replies.append(server.complete(prompt=[5])))
        thread.start()
        until(lambda: len(puppet.asked) == 1)
        puppet.die()
        thread.join(30)
    assert replies[0].status == 503
    assert replies[0].json["error"]["message"] == "the engine died: as told"
