"""Before anything is measured: who a server says it is, and how it may be asked.

Each way of asking is tried with an answer of two tokens, the best first: prompts as ids before
prompts as text, and ids that the server tells before those of a tokenizer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, get_args
from urllib.parse import urlsplit

from pydantic import BaseModel, Field, ValidationError

from build_engine.errors import EnvironmentFault, UnknownName, UsageError
from build_engine.validation import Text, shortened
from runtime.endpoint.events import DONE, Events
from runtime.endpoint.faults import (
    Busy,
    Lost,
    Refused,
    connection,
    require_answer,
    start_of,
)
from runtime.endpoint.identity import IdsBy, PromptsAs, ServerIdentity, Way, place_of
from runtime.endpoint.session import open_session, require_library
from runtime.endpoint.wire import body_of, read_news
from runtime.executor import Request

if TYPE_CHECKING:
    from aiohttp import ClientSession

    from runtime.endpoint.key import Key
    from runtime.endpoint.wire import News
    from runtime.executor import TokenIds

_GET_S = 20.0
_MOST_BYTES = 2**20
_TOKENS = 2
_BUSY_TRIES = 5


@dataclass(frozen=True, slots=True)
class Prompt:
    """A prompt to try a server with, as both kinds."""

    ids: TokenIds
    text: str


class _Meta(BaseModel):
    n_ctx: int | None = None


class _Card(BaseModel):
    """Of a model, in `/v1/models`: what vLLM and SGLang add to OpenAI's, and llama.cpp's `meta`."""

    id: Text
    owned_by: str | None = None
    root: str | None = None
    max_model_len: int | None = None
    meta: _Meta | None = None


class _Models(BaseModel):
    data: list[_Card] = Field(default_factory=list)


class _Version(BaseModel):
    version: str | None = None


@dataclass(frozen=True, slots=True)
class Probed:
    """What was found."""

    servers: tuple[ServerIdentity, ...]
    way: Way


def probe(
    urls: Sequence[str], model: str | None, prompt: Prompt, key: Key, limit_s: float
) -> Probed:
    """Ask each server; `model` is what they call theirs, None where they have only one, and
    `limit_s` bounds each answer.

    Raises EnvironmentFault for a server that cannot be used, UsageError for a key or a model that
    is not the right one, and for servers that are not alike; MissingLibrary.
    """
    require_library()
    found = asyncio.run(_all(urls, model, prompt, key, limit_s))
    if len({server.model for server, _ in found}) > 1:
        told = ", ".join(f"{server.place} {server.model}" for server, _ in found)
        raise UsageError(
            f"The servers have different models ({told}); take servers of one model, or give it "
            "one name on all of them and say --served-model."
        )
    ways = dict.fromkeys(way for _, way in found)
    if len(ways) > 1:
        told = ", ".join(f"{server.place} {way.prompts}/{way.ids}" for server, way in found)
        raise UsageError(
            f"The servers are not asked in one way (prompts/ids of answers: {told}); take servers "
            "of one kind."
        )
    return Probed(tuple(server for server, _ in found), next(iter(ways)))


async def _all(
    urls: Sequence[str], model: str | None, prompt: Prompt, key: Key, limit_s: float
) -> list[tuple[ServerIdentity, Way]]:
    found = []
    async with open_session(key, limit_s) as session:
        for url in urls:
            try:
                server = await _identity(session, url, model, key)
                found.append(await _way(session, server, prompt, key))
            except Lost as fault:
                wants_key = " key" in str(fault)
                kind = UsageError if wants_key else EnvironmentFault
                raise kind(f"The server at {url} cannot be measured: {fault}.") from None
    return found


async def _identity(
    session: ClientSession, url: str, model: str | None, key: Key
) -> ServerIdentity:
    status, content, server = await _get(session, f"{url}/v1/models", key)
    cards: list[_Card] = []
    if status == 200:
        try:
            cards = _Models.model_validate_json(content).data
        except ValidationError:
            raise Lost("its /v1/models is not as OpenAI's is; is it such a server?") from None
    card = _chosen(cards, model, url)
    try:  # few have it, and what others say there is of no interest
        _, told, _ = await _get(session, f"{url}/version", key)
        version = _Version.model_validate_json(told).version
    except (Lost, ValidationError):
        version = None
    length = card.max_model_len or (card.meta.n_ctx if card.meta else None) or 0
    return ServerIdentity(
        url=url,
        model=card.id,
        models=tuple(each.id for each in cards),
        owned_by=card.owned_by,
        root=card.root,
        max_model_len=length if length > 0 else None,
        version=version,
        server=server,
    )


def _chosen(cards: Sequence[_Card], model: str | None, url: str) -> _Card:
    """The model that is asked for. Raises UsageError."""
    if model is None:
        if len(cards) == 1:
            return cards[0]
        many = f"lists {', '.join(each.id for each in cards)}" if cards else "lists no model"
        raise UsageError(f"The server at {url} {many}; say which one with --served-model.")
    found = next((each for each in cards if each.id == model), None)
    if found is None and cards:
        raise UnknownName(f"model of {place_of(url)}", model, [each.id for each in cards])
    return found or _Card(id=model)


async def _get(session: ClientSession, url: str, key: Key) -> tuple[int, bytes, str | None]:
    """Status, content and `Server` header; a path that is not there is an answer. Raises Lost."""
    import aiohttp

    timeout = aiohttp.ClientTimeout(total=_GET_S)
    with connection():
        async with session.get(url, timeout=timeout, allow_redirects=False) as response:
            server = response.headers.get("server")
            if response.status not in (404, 405):
                try:
                    await require_answer(response, key)
                except (Refused, Busy) as fault:
                    raise Lost(f"it is not ready ({fault})") from None
            content = await start_of(response, _MOST_BYTES)
            if len(content) >= _MOST_BYTES:
                raise Lost(f"its {urlsplit(url).path} has {_MOST_BYTES:,} bytes or more")
            return response.status, content, server


async def _way(
    session: ClientSession, server: ServerIdentity, prompt: Prompt, key: Key
) -> tuple[ServerIdentity, Way]:
    """The best way that the server takes, and what its answer said of it. Raises Lost."""
    refusals = []
    for prompts in get_args(PromptsAs):
        for ids in get_args(IdsBy):
            way = Way(prompts=prompts, ids=ids)
            try:
                news = await _tried(session, server, way, prompt, key)
            except (Refused, ValueError) as fault:
                refusals.append(shortened(key.hidden(str(fault))))
                continue
            if any(each.ids for each in news) or (ids == "text" and _has_text(news)):
                told = next((each.fingerprint for each in news if each.fingerprint), None)
                return server.model_copy(update={"fingerprint": told}), way
    why = refusals[-1] if refusals else "its answers have neither ids nor text"
    raise Lost(f"it answers no prompt at /v1/completions ({why.rstrip('.')})")


def _has_text(news: Sequence[News]) -> bool:
    return any(each.text for each in news)


async def _tried(
    session: ClientSession, server: ServerIdentity, way: Way, prompt: Prompt, key: Key
) -> list[News]:
    """The answer to a prompt that is asked for in this way. Raises Lost, Refused and ValueError."""
    request = Request(0, prompt.ids, _TOKENS, ignore_eos=True)
    asked = prompt.ids.tolist() if way.prompts == "ids" else prompt.text
    body = body_of(replace(request, streaming=True), server.model, way.ids, asked)
    for _ in range(_BUSY_TRIES):
        try:
            with connection():
                url = f"{server.url}/v1/completions"
                async with session.post(url, data=body, allow_redirects=False) as response:
                    await require_answer(response, key)
                    content = await response.content.read(-1)
        except Busy as busy:
            await asyncio.sleep(busy.wait_s)
            continue
        events = Events()
        news = [read_news(each) for each in events.feed(content + b"\n\n") if each != DONE]
        error = next((each.error for each in news if each.error is not None), None)
        if error is not None:
            raise Refused(key.hidden(error))
        return news
    raise Lost(f"it said {_BUSY_TRIES} times that it is busy")
