"""The executor over servers: what it asks, what it makes of the answers, and every way to fail."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from aiohttp import web

from build_engine.errors import EngineDied
from newsbrief import CHECKPOINT
from runtime.backend import load
from runtime.endpoint.executor import EndpointExecutor
from runtime.endpoint.identity import IdsBy, PromptsAs, Way
from runtime.endpoint.spec import EndpointSpec
from runtime.executor import Executor, Request
from tests.runtime.endpoint.fake import Act, FakeServer, always, event, running, sends, stream, vllm

VARIABLE = "A_KEY_OF_TESTS"
LIMIT_S = 30.0


def spec_of(
    *urls: str, prompts: PromptsAs = "ids", ids: IdsBy = "return_token_ids", **fields: Any
) -> EndpointSpec:
    known = {"model": "tiny", "tokenizer": Path(CHECKPOINT), "key_variable": "ENGINEBENCH_API_KEY"}
    return EndpointSpec(urls=urls, way=Way(prompts=prompts, ids=ids), **{**known, **fields})


def request(number: int, *ids: int, most: int = 8, **fields: Any) -> Request:
    return Request(number, np.array(ids, np.int32), most, stop_ids=(2,), **fields)


def answers(executor: Executor, requests: Sequence[Request]) -> dict[int, list[int]]:
    """All of them, and the error of one that has one as its only id's place."""
    executor.submit(requests)
    found: dict[int, list[int]] = {each.id: [] for each in requests}
    left, until_s = len(requests), time.monotonic() + LIMIT_S
    while left:
        assert time.monotonic() < until_s, f"{left} requests are open"
        for chunk in executor.poll(0.1):
            assert chunk.error is None, chunk.error
            found[chunk.id] += chunk.token_ids.tolist()
            left -= chunk.finished
    return found


def failure(act: Act, **fields: Any) -> str:
    """Why a request to such a server is not answered: its own error, or the end of all."""
    with running(act) as server:
        executor = load(spec_of(server.url, **fields))
        try:
            executor.submit([request(1, 5, 6, 7)])
            until_s = time.monotonic() + LIMIT_S
            while time.monotonic() < until_s:
                for chunk in executor.poll(0.1):
                    if chunk.error is not None:
                        return f"error: {chunk.error}"
                    assert not chunk.finished, "it was answered"
        except EngineDied as death:
            return str(death)
        finally:
            executor.close()
    raise AssertionError("nothing came")


@pytest.mark.parametrize("streaming", [True, False])
def test_ids_go_out_and_come_back_and_no_process_stays(streaming: bool) -> None:
    with running(vllm) as server:
        executor = load(spec_of(server.url))
        assert isinstance(executor, EndpointExecutor)
        process = psutil.Process(executor.pid)
        asked = [request(n, *range(10, 14 + n), streaming=streaming) for n in range(20)]
        found = answers(executor, asked)
        assert found == {n: [*[*range(10, 14 + n)][:7], 2] for n in range(20)}
        [load_of] = executor.stats().replicas
        assert (load_of.requests, load_of.tokens) == (20, sum(map(len, found.values())))
        assert load_of.node == server.url.removeprefix("http://")
        executor.close()
        assert not process.is_running()
    first = server.asked[0]
    assert (first["temperature"], first["max_tokens"], first["stream"]) == (0, 8, streaming)
    assert "min_tokens" not in first and "ignore_eos" not in first


def test_what_is_asked_for_is_asked() -> None:
    with running(vllm) as server:
        executor = load(spec_of(server.url))
        answers(executor, [request(1, 5, 6, 7, min_new_tokens=3, ignore_eos=True)])
        executor.close()
    assert (server.asked[0]["min_tokens"], server.asked[0]["ignore_eos"]) == (3, True)


async def _llama(server: FakeServer, request: web.Request, body: dict[str, Any]) -> Any:
    told = b'data: {"choices":[{"text":"","finish_reason":%s}],"__verbose":{"tokens":%s}}\r\n\r\n'
    return await stream(
        request, b": comment\n\n", told % (b"null", b"[7,8]"), told % (b'"stop"', b"[]")
    )


def test_the_id_that_ended_an_answer_is_there_though_the_server_told_it_not() -> None:
    with running(_llama) as server:
        executor = load(spec_of(server.url, ids="return_tokens"))
        assert answers(executor, [request(1, 5)]) == {1: [7, 8, 2]}
        # as many as were asked for have no room for it
        assert answers(executor, [request(2, 5, most=2)]) == {2: [7, 8]}
        executor.close()
    assert server.asked[0]["cache_prompt"] is False


def test_text_is_counted_by_the_tokenizer_and_prompts_may_be_text() -> None:
    from build_engine.checkpoint.tokenizer import Tokenizer

    tokenizer = Tokenizer.load(Path(CHECKPOINT))
    text = "The bridge over the river will open in May, the council said."
    [ids] = tokenizer.encode_batch([text], add_special_tokens=False)

    async def act(server: FakeServer, request: web.Request, body: dict[str, Any]) -> Any:
        pieces = [event(text[at : at + 3]) for at in range(0, len(text), 3)]
        return await stream(request, *pieces, event(reason="length"))

    with running(act) as server:
        executor = load(spec_of(server.url, prompts="text", ids="text"))
        prompt = Request(1, ids, 64, stop_ids=(2,))
        found = answers(executor, [prompt])[1]
        executor.close()
    assert server.asked[0]["prompt"] == text
    assert tokenizer.plain_texts([found]) == [text]
    assert abs(len(found) - len(ids)) <= 2  # the first word may be in other pieces


@pytest.mark.parametrize(
    ("act", "told"),
    [
        (always(401, {"error": {"message": "no"}}), "it wants a key, and ENGINEBENCH_API_KEY has"),
        (always(404, {"error": {"message": "no such model"}}), "HTTP 404: no such model"),
        (always(307, None, location="http://elsewhere.example/"), "it sends us to http://elsew"),
        (always(400, {"message": "too long"}), "HTTP 400: too long"),
        (always(500, "<html><b>oh</b></html>"), "HTTP 500"),
        (sends(b"data: {nonsense\n\n"), "an answer is not as OpenAI's are"),
        (sends(b"what is this\n\n"), "a line of the stream is none of an event"),
        (sends(event("a", [5])), "its answer ended without an end (no finish_reason)"),
        (sends(event("a", [5]), b'data: {"choi'), "its stream ended within an event"),
        (sends(b'data: {"error": {"message": "out of memory"}}\n\n'), "out of memory"),
        (sends(event("a", [-5])), "ids below 0"),
        (sends(event("a")), "text without its ids"),
        (sends(event("a", [5], "abort")), "it broke its answer off (finish_reason abort)"),
        (always(400, {"message": "a\u001b[2J\nb"}), "HTTP 400: a [2J b"),
        (always(500, "x" * 15_000), 'HTTP 500: "' + "x" * 40),
    ],
)
def test_an_answer_that_is_none_is_told_in_a_sentence(act: Act, told: str) -> None:
    assert told in failure(act)


def test_an_empty_reason_is_none_and_what_follows_the_end_is_nothing() -> None:
    """Some servers write the reason in each event, and gateways append fields of their own."""
    act = sends(
        event("a", [5], ""),
        b"x-metrics: 1\n\n",
        event("b", [2], "stop"),
        b"x-cost: 2\n\n",
    )
    with running(act) as server:
        executor = load(spec_of(server.url))
        assert answers(executor, [request(1, 9), request(2, 9)]) == {1: [5, 2], 2: [5, 2]}
        executor.close()


@pytest.mark.parametrize(
    "after",
    [
        b'data: {"error": {"message": "late"}}\n\n',
        b'data: {"choices":null,"usage":{}}\n\n',
        b"?\n\n",
    ],
)
def test_an_answer_that_has_ended_is_told_whatever_came_with_its_end(after: bytes) -> None:
    with running(sends(event("a", [5]) + event("b", [2], "stop") + after)) as server:
        executor = load(spec_of(server.url))
        assert answers(executor, [request(1, 9), request(2, 9)]) == {1: [5, 2], 2: [5, 2]}
        executor.close()


def test_a_stream_that_is_left_open_after_its_answer_keeps_no_place() -> None:
    async def act(server: FakeServer, request: web.Request, body: dict[str, Any]) -> Any:
        response = await stream_begun(request, event("a", [5, 2], "stop"))
        await asyncio.sleep(LIMIT_S)
        return response

    with running(act) as server:
        executor = load(spec_of(server.url, in_flight_each=1, idle_s=4.0))
        assert answers(executor, [request(1, 9), request(2, 9)]) == {1: [5, 2], 2: [5, 2]}
        executor.close()


async def _hangs(server: FakeServer, request: web.Request, body: dict[str, Any]) -> Any:
    await asyncio.sleep(60)


async def _hangs_later(server: FakeServer, request: web.Request, body: dict[str, Any]) -> Any:
    response = await stream_begun(request, event("a", [5]))
    await asyncio.sleep(60)
    return response


async def stream_begun(request: web.Request, first: bytes) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    await response.write(first)
    return response


async def _hangs_up(server: FakeServer, request: web.Request, body: dict[str, Any]) -> Any:
    response = await stream_begun(request, event("a", [5]))
    assert request.transport is not None
    request.transport.abort()
    return response


@pytest.mark.parametrize(
    ("act", "told"),
    [
        (_hangs, "it has sent nothing for 1 s, with 1 request open"),
        (_hangs_later, "it has sent nothing for 1 s, with 1 request open"),
        (_hangs_up, "server 1 of 1, on 127.0.0.1:"),
        (always(429, None, retry_after="0.1"), "it has been busy (HTTP 429"),
    ],
)
def test_a_server_that_hangs_or_hangs_up_is_lost(act: Act, told: str) -> None:
    begun_s = time.monotonic()
    assert told in failure(act, idle_s=1.0)
    assert time.monotonic() - begun_s < 20


def test_a_server_that_wants_to_be_asked_at_once_is_not_asked_without_end() -> None:
    with running(always(429, {"message": "no quota"}, retry_after="0")) as server:
        executor = load(spec_of(server.url, idle_s=1.0))
        executor.submit([request(1, 5)])
        with pytest.raises(EngineDied, match=r"has been busy \(HTTP 429: no quota\) for 1 s"):
            while True:
                executor.poll(0.1)
        executor.close()
    assert len(server.asked) < 40


def test_connections_that_cannot_be_had_are_no_fault_of_a_server() -> None:
    with pytest.raises(EngineDied, match=r"--max-in-flight .*\(ulimit -Hn\)"):
        load(spec_of("http://127.0.0.1:9", in_flight_each=10**9))


def test_a_server_that_is_not_there_is_lost() -> None:
    with running(vllm) as server:
        url = server.url
    executor = load(spec_of(url))
    executor.submit([request(1, 5)])
    with pytest.raises(EngineDied, match="cannot be reached"):
        for _ in range(200):
            executor.poll(0.1)
    executor.close()


def test_a_busy_server_gets_fewer_at_once_and_answers_all() -> None:
    places = 3

    async def act(server: FakeServer, request: web.Request, body: dict[str, Any]) -> Any:
        nonlocal places
        if not places:
            return web.json_response(None, status=429, headers={"retry-after": "1"})
        places -= 1
        await asyncio.sleep(0.02)
        places += 1
        return await vllm(server, request, body)

    with running(act) as server:
        executor = load(spec_of(server.url, in_flight_each=32))
        found = answers(executor, [request(n, 9, 8) for n in range(60)])
        executor.close()
    assert set(map(tuple, found.values())) == {(9, 8, 2)}
    assert len(server.asked) < 2 * 60


def test_several_servers_share_and_may_be_lost_where_that_is_tolerated() -> None:
    async def dies(server: FakeServer, request: web.Request, body: dict[str, Any]) -> Any:
        if len(server.asked) > 4:
            return await _hangs_up(server, request, body)
        await asyncio.sleep(0.02)
        return await vllm(server, request, body)

    with running(vllm) as good, running(dies) as bad:
        executor = load(spec_of(good.url, bad.url, in_flight_each=4, tolerate_failures=True))
        found = answers(executor, [request(n, 9, 8) for n in range(60)])
        kept, lost = executor.stats().replicas
        executor.close()
    assert {tuple(ids[1:]) for ids in found.values()} == {(8, 2)}  # the first was told before
    assert kept.lost is None and kept.requests > 30
    assert lost.lost is not None and "hung up" in lost.lost


def test_the_key_goes_to_the_server_and_nowhere_else(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    secret = "open-sesame-1002"
    monkeypatch.setenv(VARIABLE, secret)
    with running(always(400, {"error": {"message": f"key {secret} may not"}})) as server:
        spec = spec_of(server.url, key_variable=VARIABLE)
        executor = load(spec)
        assert isinstance(executor, EndpointExecutor)
        assert secret not in " ".join(psutil.Process(executor.pid).cmdline())
        executor.submit([request(1, 5)])
        chunks = list[Any]()
        while not chunks:
            chunks = executor.poll(1.0)
        executor.close()
    assert server.keys == [f"Bearer {secret}"]
    assert server.codings == ["identity"], "no token waits in what packs it"
    assert chunks[0].error is not None and "key *** may not" in chunks[0].error
    assert secret not in spec.model_dump_json()
    assert secret not in "".join(capfd.readouterr())
