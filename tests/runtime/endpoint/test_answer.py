"""What an answer comes to: the same, wherever the network cuts its bytes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.endpoint import events
from runtime.endpoint.answer import Answer, read_answer
from runtime.endpoint.faults import Refused
from runtime.endpoint.tokens import AsTold
from runtime.executor import Request
from tests.runtime.endpoint.fake import event

ERROR = b'data: {"error": {"message": "late"}}\n\n'
END = event("b", [2], "stop")
USAGE = b'data: {"choices":null,"usage":{}}\n\n'
TAIL = b"data: [DONE]\n\n"


@dataclass
class Cut:
    """A response whose bytes come so."""

    parts: Sequence[bytes]
    closed: bool = field(default=False)

    @property
    def content(self) -> Cut:
        return self

    async def iter_any(self) -> AsyncIterator[bytes]:
        for part in self.parts:
            yield part

    def close(self) -> None:
        self.closed = True


def outcome(
    parts: Sequence[bytes], *, streaming: bool = True
) -> tuple[list[int], int, bool, str | None]:
    """All ids, how often the end was told, whether it has ended, and the fault."""
    prompt = np.array([9], np.int32)
    answer = Answer(Request(1, prompt, 8, stop_ids=(2,), streaming=streaming), AsTold())
    ids: list[int] = []
    ends: list[bool] = []
    fault = None

    def tell(new: list[int]) -> None:
        ids.extend(new)
        ends.append(answer.finished)

    try:
        asyncio.run(read_answer(cast("Any", Cut(parts)), answer, lambda: None, tell))
    except (Refused, ValueError) as error:
        fault = str(error)
    assert not any(ends[:-1]), "it was told after its end"
    return ids, sum(ends), answer.finished, fault


def cut(content: bytes, places: Sequence[int]) -> list[bytes]:
    return [content[a:b] for a, b in pairwise([0, *sorted(places), len(content)]) if a < b]


STREAMS = [
    event("a", [5]) + END + TAIL,
    event("a", [5]) + END + ERROR,
    event("a", [5]) + END + USAGE + TAIL,
    event("a", [5]) + USAGE + END,
    event("a", [5]) + END + b"data: {nonsense\n\n",
    event("a", [5]) + END + b"no event\n\n" + TAIL,
    (event("a", [5]) + END + ERROR).replace(b"\n", b"\r\n"),
    event("a", [5]) + ERROR + END,
    event("a", [5]) + b"no event\n\n" + END,
    event("a", [5]) + b"data: {nonsense\n\n" + END,
    event("a", [5]) + b"data: " + b"x" * 400 + b"\n\n" + END,
    event("a", [5]) + event("b", [6], "abort") + END,
    event("a", [5]) + event("b") + END,
    event("a", [5]) + TAIL,
    b": hello\n\n\n\n" + event("a", [5]) + event("", None, "stop"),
    event("a", [5]) + b'data: {"choi',
]


@pytest.fixture(autouse=True)
def _small_events(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "_MOST_BYTES", 300)


@pytest.mark.parametrize("content", STREAMS)
def test_what_is_told_does_not_depend_on_where_the_bytes_are_cut(content: bytes) -> None:
    whole = outcome([content])
    assert whole[0][0] == 5, "what came before a fault was told"
    for place in range(1, len(content)):
        assert outcome(cut(content, [place])) == whole
    assert outcome([bytes([each]) for each in content]) == whole


@given(content=st.sampled_from(STREAMS), data=st.data())
def test_nor_on_how_often(content: bytes, data: st.DataObject) -> None:
    places = data.draw(st.lists(st.integers(1, len(content) - 1), max_size=9))
    assert outcome(cut(content, places)) == outcome([content])


@pytest.mark.parametrize("content", STREAMS[:7])
def test_what_follows_the_end_of_an_answer_is_nothing(content: bytes) -> None:
    assert outcome([content]) == ([5, 2], 1, True, None)


@pytest.mark.parametrize("ids", [[], None])
@pytest.mark.parametrize("streaming", [True, False])
def test_text_without_ids_is_no_answer_of_one_id(ids: list[int] | None, streaming: bool) -> None:
    content = event("a b", ids, "stop")
    content = content if streaming else content.removeprefix(b"data: ")
    told, ends, _, fault = outcome([content], streaming=streaming)
    assert (told, ends, fault) == ([], 0, "it told text without its ids")


def test_text_may_come_later_than_its_ids() -> None:
    content = event("", [5]) + event("ä", []) + event("", [], "stop")
    assert outcome([content]) == ([5, 2], 1, True, None)
