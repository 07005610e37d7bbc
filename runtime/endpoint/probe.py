"""Before anything is measured: who a server says it is, and how it may be asked.

Each way of asking is tried with an answer of two tokens, the best first: prompts as ids before
prompts as text, and ids that the server tells before those of a tokenizer. The answer is asked for
and read as in the run: streamed or whole, and to its end.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, get_args
from urllib.parse import urlsplit

from pydantic import BaseModel, Field, ValidationError

from build_engine.errors import EnvironmentFault, UnknownName, UsageError
from build_engine.validation import Text
from runtime.endpoint.answer import Answer, read_answer
from runtime.endpoint.faults import (
    Busy,
    Lost,
    Refused,
    WantsKey,
    connection,
    require_answer,
    start_of,
)
from runtime.endpoint.identity import IdsBy, PromptsAs, ServerIdentity, Way, place_of
from runtime.endpoint.session import open_session, require_library
from runtime.endpoint.tokens import AsTold
from runtime.endpoint.wire import body_of
from runtime.endpoint.words import words_of
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
_MOST_NAMED = 10  # models in a sentence
_NOT_THERE = (404, 405)


@dataclass(frozen=True, slots=True)
class Trial:
    """What to try a server with: a prompt as both kinds, and how the run will ask."""

    ids: TokenIds
    text: str
    streaming: bool = True
    min_new_tokens: int = 1


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


_OF_ONE = (
    (
        "models",
        "model",
        "take servers of one model, or give it one name on all of them and say --served-model",
    ),
    ("checkpoints", "root", "take servers of one, and start them with one name for it"),
)
"""What replicas have in common: its name, the field of `ServerIdentity`, and what to do."""


@dataclass(frozen=True, slots=True)
class Probed:
    """What was found."""

    servers: tuple[ServerIdentity, ...]
    way: Way


def probe(urls: Sequence[str], model: str | None, trial: Trial, key: Key, limit_s: float) -> Probed:
    """Ask each server; `model` is what they call theirs, None where they have only one, and
    `limit_s` bounds each answer.

    Raises EnvironmentFault for a server that cannot be used, UsageError for a key or a model that
    is not the right one, and for servers that are not alike; MissingLibrary.
    """
    require_library()
    found = asyncio.run(_all(urls, model, trial, key, limit_s))
    _require_alike([server for server, _ in found])
    ways = dict.fromkeys(way for _, way in found)
    if len(ways) > 1:
        told = ", ".join(f"{server.place} {way.prompts}/{way.ids}" for server, way in found)
        raise UsageError(
            f"The servers are not asked in one way (prompts/ids of answers: {told}); take servers "
            "of one kind."
        )
    return Probed(tuple(server for server, _ in found), next(iter(ways)))


def _require_alike(servers: Sequence[ServerIdentity]) -> None:
    """Raise UsageError where, by what they say, the servers are no replicas of one."""
    for noun, name, remedy in _OF_ONE:
        told = [(server.place, value) for server in servers if (value := getattr(server, name))]
        if len({value.rpartition("/")[2] for _, value in told}) > 1:  # a folder's place differs
            each = ", ".join(f"{place} {value}" for place, value in told)
            raise UsageError(f"The servers have different {noun} ({each}); {remedy}.")


async def _all(
    urls: Sequence[str], model: str | None, trial: Trial, key: Key, limit_s: float
) -> list[tuple[ServerIdentity, Way]]:
    found = []
    async with open_session(key, limit_s) as session:
        for url in urls:
            try:
                server = await _identity(session, url, model, key)
                found.append(await _way(session, server, trial, key))
            except Lost as fault:
                kind = UsageError if isinstance(fault, WantsKey) else EnvironmentFault
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
    elif model is None:
        raise UsageError(
            f"There is no /v1/models at {url} (HTTP {status}); give the address that is before "
            "/v1, as http://HOST:PORT, or --served-model where the server lists no models."
        )
    if not all(each.id.isprintable() for each in cards):
        raise Lost("it lists a model whose name cannot be shown")
    card = _chosen(cards, model, url)
    try:  # few have it, and what others say there is of no interest
        status, told, _ = await _get(session, f"{url}/version", key)
        version = _Version.model_validate_json(told).version if status == 200 else None
    except (Lost, ValidationError):
        version = None

    def said(text: str | None) -> str | None:
        return None if text is None else words_of(text, key) or None

    length = card.max_model_len or (card.meta.n_ctx if card.meta else None) or 0
    return ServerIdentity(
        url=url,
        model=card.id,
        models=tuple(each.id for each in cards),
        owned_by=said(card.owned_by),
        root=said(card.root),
        max_model_len=length if length > 0 else None,
        version=said(version),
        server=said(server),
    )


def _chosen(cards: Sequence[_Card], model: str | None, url: str) -> _Card:
    """The model that is asked for. Raises UsageError."""
    if model is None:
        if len(cards) == 1:
            return cards[0]
        named = [each.id for each in cards[:_MOST_NAMED]] + ["…"][: len(cards) > _MOST_NAMED]
        many = f"lists {', '.join(named)}" if cards else "lists no model"
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
            if response.status not in _NOT_THERE:
                try:
                    await require_answer(response, key)
                except (Refused, Busy) as fault:
                    raise Lost(f"it is not ready ({fault})") from None
            content = await start_of(response, _MOST_BYTES)
            if len(content) >= _MOST_BYTES:
                raise Lost(f"its {urlsplit(url).path} has {_MOST_BYTES:,} bytes or more")
            return response.status, content, server


async def _way(
    session: ClientSession, server: ServerIdentity, trial: Trial, key: Key
) -> tuple[ServerIdentity, Way]:
    """The best way that the server takes, and what its answer said of it. Raises Lost."""
    why = "its answers have neither ids nor text"
    for prompts in get_args(PromptsAs):
        for ids in get_args(IdsBy):
            way = Way(prompts=prompts, ids=ids)
            # an answer may end at once without it; no run asks for it, so that it may be unknown
            for ignore_eos in (True, False):
                seen = _Seen(ids)
                answer = Answer(_request(trial, ignore_eos=ignore_eos), seen)
                try:
                    await _asked(session, server, way, trial, answer, key)
                except (Refused, ValueError) as fault:
                    why = words_of(str(fault), key).rstrip(".")
                    continue
                if answer.num_ids:
                    told = None if seen.fingerprint is None else words_of(seen.fingerprint, key)
                    return server.model_copy(update={"fingerprint": told}), way
    raise Lost(f"it answers no prompt at /v1/completions ({why})")


def _request(trial: Trial, *, ignore_eos: bool) -> Request:
    return Request(
        0,
        trial.ids,
        _TOKENS,
        min(trial.min_new_tokens, _TOKENS),
        ignore_eos=ignore_eos,
        streaming=trial.streaming,
    )


class _Seen:
    """Counts what a run would count, a text as one: what ids it has does not matter here."""

    def __init__(self, ids: IdsBy) -> None:
        self._told = None if ids == "text" else AsTold()
        self.fingerprint: str | None = None

    def take(self, news: News) -> list[int]:
        """See `Counter.take`."""
        self.fingerprint = self.fingerprint or news.fingerprint
        if self._told is not None:
            return self._told.take(news)
        return [0] if news.text else []


async def _asked(
    session: ClientSession,
    server: ServerIdentity,
    way: Way,
    trial: Trial,
    answer: Answer,
    key: Key,
) -> None:
    """Have the trial answered in this way. Raises Lost, Refused and ValueError."""
    prompt = trial.ids.tolist() if way.prompts == "ids" else trial.text
    body = body_of(answer.request, server.model, way.ids, prompt)
    for _ in range(_BUSY_TRIES):
        try:
            with connection():
                url = f"{server.url}/v1/completions"
                async with session.post(url, data=body, allow_redirects=False) as response:
                    await require_answer(response, key)
                    await read_answer(response, answer, lambda: None, lambda ids: None)
                    return
        except Busy as busy:
            await asyncio.sleep(busy.wait_s)
    raise Lost(f"it said {_BUSY_TRIES} times that it is busy")
