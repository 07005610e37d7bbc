"""Who a server says it is, and how it may be asked: found out before anything is measured."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from aiohttp import web

from build_engine.errors import EnginebenchError, EnvironmentFault, UnknownName, UsageError
from runtime.endpoint.identity import Way
from runtime.endpoint.key import Key, read_key
from runtime.endpoint.probe import Probed, Trial, probe
from runtime.endpoint.spec import base_url
from tests.runtime.endpoint.fake import (
    Act,
    FakeServer,
    always,
    event,
    running,
    sends,
    stream,
    vllm,
)

TRIAL = Trial(np.array([5, 6, 7], np.int32), "The bridge")
NO_KEY = Key("ENGINEBENCH_API_KEY", None)


def probed(*urls: str, model: str | None = None, key: Key = NO_KEY, trial: Trial = TRIAL) -> Probed:
    return probe(urls, model, trial, key, 10.0)


def test_a_server_says_who_it_is() -> None:
    with running(vllm) as server:
        found = probed(server.url)
    [identity] = found.servers
    assert (identity.engine, identity.model, identity.max_model_len) == (
        "vLLM 0.11.0",
        "tiny",
        4096,
    )
    assert identity.server is not None and "aiohttp" in identity.server
    assert found.way == Way(prompts="ids", ids="return_token_ids")


async def _llama(server: FakeServer, request: web.Request, body: dict[str, Any]) -> Any:
    """As llama.cpp: what it does not know does not matter to it."""
    verbose = {"__verbose": {"tokens": [7]}} if body.get("verbose") else {}
    told = {"choices": [{"text": " a", "finish_reason": "length"}], **verbose}
    return await stream(request, b"data: " + json.dumps(told).encode() + b"\n\n")


async def _tensorrt(server: FakeServer, request: web.Request, body: dict[str, Any]) -> Any:
    """As TensorRT-LLM's: it refuses what it does not know, and tells ids instead of text."""
    known = {"model", "prompt", "max_tokens", "temperature", "stream", "ignore_eos", "detokenize"}
    if body.keys() - known:
        return web.json_response({"message": "extra fields"}, status=400)
    if body.get("detokenize") is False:
        return await stream(request, event("", [7, 8], "length"))
    return await stream(request, event(" a b", None, "length"))


async def _only_text(server: FakeServer, request: web.Request, body: dict[str, Any]) -> Any:
    if not isinstance(body["prompt"], str):
        return web.json_response({"error": "a text, please"}, status=422)
    return await stream(request, event(" a b", None, "length"))


@pytest.mark.parametrize(
    ("act", "way"),
    [
        (_llama, Way(prompts="ids", ids="return_tokens")),
        (_tensorrt, Way(prompts="ids", ids="detokenize")),
        (_only_text, Way(prompts="text", ids="text")),
    ],
)
def test_each_server_is_asked_as_it_takes_it(act: Act, way: Way) -> None:
    with running(act) as server:
        assert probed(server.url).way == way


@pytest.mark.parametrize(
    ("act", "kind", "told"),
    [
        (always(400, {"message": "`speed` is not a key"}), EnvironmentFault, "is not a key"),
        (always(401, {"error": {"message": "Bad key"}}), UsageError, "it wants a key, and ENGINEB"),
        (always(500, {"error": {"message": "oh"}}), EnvironmentFault, "HTTP 500: oh"),
        (always(429, None, retry_after="0"), EnvironmentFault, "said 5 times that it is busy"),
    ],
)
def test_a_server_that_cannot_be_measured(
    act: Act, kind: type[EnginebenchError], told: str
) -> None:
    with running(act) as server, pytest.raises(kind, match="cannot be measured") as fault:
        probed(server.url)
    assert told in str(fault.value)


def test_the_model_must_be_one_of_the_server() -> None:
    two = ({"id": "tiny"}, {"id": "large"})
    with running(vllm, models=two) as server:
        with pytest.raises(UsageError, match="lists tiny, large; say which one with --served-"):
            probed(server.url)
        with pytest.raises(UnknownName, match="Did you mean `large`"):
            probed(server.url, model="larg")
        assert probed(server.url, model="large").servers[0].model == "large"


def test_servers_of_two_kinds_are_refused() -> None:
    with (
        running(vllm) as one,
        running(_llama) as other,
        pytest.raises(UsageError, match="not asked in one way"),
    ):
        probed(one.url, other.url)


def test_servers_of_two_models_are_refused() -> None:
    with (
        running(vllm) as one,
        running(vllm, models=({"id": "other"},)) as other,
        pytest.raises(UsageError, match=r"different models \(.* tiny, .* other\)"),
    ):
        probed(one.url, other.url)


def test_servers_of_two_checkpoints_are_no_replicas_though_they_call_them_so() -> None:
    mine: dict[str, Any] = {"id": "tiny", "root": "org/tiny"}
    other_card = mine | {"root": "org/other"}
    with running(vllm, models=(mine,)) as one, running(vllm, models=(other_card,)) as other:
        with pytest.raises(
            UsageError, match=r"different checkpoints \(.* org/tiny, .* org/other\)"
        ):
            probed(one.url, other.url)
        assert len(probed(one.url).servers) == 1


@pytest.mark.parametrize("more", [{}, {"root": "/models/tiny", "max_model_len": 99}])
def test_where_a_checkpoint_lies_or_what_is_not_said_makes_no_other_replica(
    more: dict[str, Any],
) -> None:
    known = ({"id": "tiny", "root": "org/tiny", "max_model_len": 4096},)
    others = ({"id": "tiny", **more},)
    with running(vllm, models=known) as one, running(vllm, models=others) as other:
        assert len(probed(one.url, other.url).servers) == 2


async def _strict(server: FakeServer, request: web.Request, body: dict[str, Any]) -> Any:
    """It takes what a run asks for, and nothing else."""
    if body.keys() - {"model", "prompt", "max_tokens", "temperature", "stream"}:
        return web.json_response({"message": "extra fields"}, status=400)
    return await stream(request, event(" a b", None, "length"))


def test_a_server_is_measured_that_does_not_know_what_no_run_asks_for() -> None:
    with running(_strict) as server:
        assert probed(server.url).way == Way(prompts="ids", ids="text")
    assert "ignore_eos" not in server.asked[-1]


async def _ids_in_streams(server: FakeServer, request: web.Request, body: dict[str, Any]) -> Any:
    if body["stream"]:
        return await vllm(server, request, body)
    return web.json_response({"choices": [{"text": " a b", "finish_reason": "length"}]})


@pytest.mark.parametrize(("streaming", "ids"), [(True, "return_token_ids"), (False, "text")])
def test_a_server_is_tried_as_the_run_will_ask_it(streaming: bool, ids: str) -> None:
    trial = Trial(TRIAL.ids, TRIAL.text, streaming=streaming, min_new_tokens=9)
    with running(_ids_in_streams) as server:
        assert probed(server.url, trial=trial).way.ids == ids
    assert {each["stream"] for each in server.asked} == {streaming}
    assert {each["min_tokens"] for each in server.asked} == {2}


def test_an_answer_that_a_run_would_not_take_is_found_before() -> None:
    with (
        running(sends(event("a", [5], "abort"))) as server,
        pytest.raises(EnvironmentFault, match="broke its answer off"),
    ):
        probed(server.url)


def test_an_address_without_models_is_told_apart_from_a_server_without_any() -> None:
    with running(vllm, lists=False) as server:
        with pytest.raises(UsageError, match=r"There is no /v1/models at http.* \(HTTP 404\)"):
            probed(server.url)
        assert probed(server.url, model="tiny").servers[0].model == "tiny"


def test_what_a_server_says_of_itself_is_recorded_without_the_key() -> None:
    with running(vllm) as server:
        [found] = probed(server.url, key=Key("X", "0.11.0")).servers
    assert found.version == "***"


def test_a_model_with_a_name_that_nobody_can_read_is_none() -> None:
    with (
        running(vllm, models=({"id": "a\nb"},)) as server,
        pytest.raises(EnvironmentFault, match="a model whose name cannot be shown"),
    ):
        probed(server.url)


def test_what_is_odd_about_a_server_keeps_nobody_from_measuring_it() -> None:
    """A length that says "any", and a list of models longer than a segment of the network."""
    many = tuple({"id": f"m{number:05}", "max_model_len": -1} for number in range(4000))
    with running(vllm, models=many) as server:
        found = probed(server.url, model="m03999").servers[0]
    assert (found.model, found.max_model_len, len(found.models)) == ("m03999", None, 4000)


def test_nobody_there_and_no_certificate_that_is_trusted() -> None:
    with running(vllm) as server:
        url = server.url
        with pytest.raises(EnvironmentFault, match="cannot be measured"):
            probed(url.replace("http:", "https:"))
    with pytest.raises(EnvironmentFault, match="cannot be reached"):
        probed(url)


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("http://a:80/v1/", "http://a:80"),
        ("https://a.b/x/v1", "https://a.b/x"),
        ("http://a/v1/v1", "http://a"),
        ("http://v1", "http://v1"),
        ("http://a:80/v1/completions", "http://a:80"),
        ("http://a:80/v1/chat/completions/", "http://a:80"),
        ("HTTP://a/x/v1/models", "http://a/x"),
        (" http://[::1]:8 ", "http://[::1]:8"),
    ],
)
def test_a_base_url(text: str, url: str) -> None:
    assert base_url(text) == url


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a:80",
        "ftp://a",
        "http://",
        "http://u:p@a",
        "http://a?k=1",
        "http://a:99999",
        "http://a b",
        "http://a..b",
        f"http://{'a' * 64}.b",
    ],
)
def test_what_is_no_url_of_a_server(text: str) -> None:
    with pytest.raises(ValueError, match=r"URL|address"):
        base_url(text)


@pytest.mark.parametrize("text", ["http://u:s3cret@a:99999", "a:s3cret@h", "http://h?k=s3cret"])
def test_a_secret_in_a_url_is_not_repeated(text: str) -> None:
    with pytest.raises(ValueError, match="the key is in the environment") as refused:
        base_url(text)
    assert "s3cret" not in str(refused.value)


def test_a_key_is_in_the_environment() -> None:
    assert read_key("ENGINEBENCH_API_KEY", {}).headers == {}
    assert read_key("X", {"X": " k1 "}).headers == {"authorization": "Bearer k1"}
    assert "k1" not in repr(read_key("X", {"X": "k1"}))
    for environment in ({}, {"X": " "}, {"X": "a b"}, {"X": "ä"}):
        with pytest.raises(UsageError, match="X holds no key"):
            read_key("X", environment)
