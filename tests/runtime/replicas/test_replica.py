"""One replica, as its process sees it."""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np
import pytest

from build_engine.errors import EngineDied
from build_engine.store.received import Offer
from runtime import signs
from runtime.executor import Request
from runtime.messages import Chunks, Fatal, Work
from runtime.openvino.spec import OpenVINOSpec
from runtime.replicas import replica as module
from runtime.replicas.messages import Core, Loaded
from runtime.replicas.replica import Replica
from runtime.simulated.spec import SimulatedSpec
from runtime.spec import ExecutorSpec
from tests.runtime.replicas.fakes import read_nothing

INSTANT = SimulatedSpec(num_tokens=8)


def loaded(spec: ExecutorSpec = INSTANT) -> Replica:
    replica = Replica("10.0.0.1")
    assert isinstance(replica.load(spec, None, 1, None, read_nothing), Loaded)
    return replica


def work(num: int) -> Work:
    prompt = np.arange(4, dtype=np.int32)
    return Work.of([Request(number, prompt, 8) for number in range(num)])


def test_it_says_where_it_is() -> None:
    place = Replica("10.0.0.1").place(None, ["3"], "first")
    assert place.node.endswith(" (10.0.0.1)")
    assert (place.member, place.gpus, len(place.cards)) == ("first", ("3",), 1)
    assert place.has_engine
    assert {core.cpu for core in place.cores} == os.sched_getaffinity(0)


def test_an_engine_that_is_not_there_is_missed(tmp_path: Path) -> None:
    from tests.build_engine.manifests import make_manifest

    manifest = make_manifest()
    offer = Offer(manifest.key, b"{}", tmp_path / "nowhere", Path("tiny/cpu/int8_wo-0"))
    assert not Replica("10.0.0.1").place(offer, []).has_engine


def test_a_reply_holds_so_many_chunks_and_the_rest_comes_next(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "_MOST_CHUNKS", 3)
    replica = loaded()
    replica.submit(work(5))
    replies = [replica.poll(), replica.poll()]
    assert all(isinstance(reply, Chunks) for reply in replies)
    numbers = [[chunk.id for chunk in r.chunks] for r in replies if isinstance(r, Chunks)]
    assert numbers == [[0, 1, 2], [3, 4]]
    replica.close()


def test_a_long_answer_is_told_in_several_replies(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MOST_IDS", 5)
    replica = loaded()
    replica.submit(work(2))
    replies = [replica.poll() for _ in range(4)]
    told = [
        [(chunk.id, chunk.token_ids.tolist(), chunk.finished) for chunk in reply.chunks]
        for reply in replies
        if isinstance(reply, Chunks)
    ]
    whole = list(range(100, 108))
    assert told == [
        [(0, whole[:5], False)],
        [(0, whole[5:], True), (1, whole[:2], False)],
        [(1, whole[2:7], False)],
        [(1, whole[7:], True)],
    ]
    replica.close()


def test_an_idle_engine_is_a_reply_without_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_POLL_S", 0.01)
    reply = loaded().poll()
    assert isinstance(reply, Chunks)
    assert reply.chunks == []


def test_a_dead_engine_says_so_in_the_poll_and_not_before() -> None:
    replica = loaded(INSTANT.model_copy(update={"fault": "die", "fault_after": 0}))
    replica.submit(work(1))
    told = replica.poll()
    assert isinstance(told, Fatal)
    assert told.cause == "the simulated engine died at answer 0, as told"
    replica.submit(work(1))
    assert isinstance(replica.poll(), Fatal)


def test_an_engine_that_hangs_is_told_with_what_it_had_and_closed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "_POLL_S", 0.1)
    monkeypatch.setattr(signs, "MOST_S", 0.5)  # it tells of no iterations
    replica = loaded(INSTANT.model_copy(update={"fault": "drop", "fault_after": 2}))
    replica.submit(work(4))
    chunks = replica.poll()
    assert isinstance(chunks, Chunks)
    assert [chunk.id for chunk in chunks.chunks] == [0, 1, 3]
    told, until_s = replica.poll(), time.monotonic() + 20.0
    while not isinstance(told, Fatal):
        assert time.monotonic() < until_s
        told = replica.poll()
    assert told.cause.startswith("the engine died: it gave no sign for ")
    assert told.cause.endswith(" with 1 request open")
    with pytest.raises(EngineDied, match="was closed"):
        replica._executor.poll(0.0)  # type: ignore[union-attr]
    assert replica.poll() == told


def test_requests_that_cannot_be_handed_over_are_no_silent_loss(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    replica = loaded()

    def refuse(requests: object) -> None:
        raise OverflowError("too many\nby far")

    monkeypatch.setattr(replica._executor, "submit", refuse)
    replica.submit(work(1))
    assert replica.poll() == Fatal("OverflowError: by far")


def test_an_engine_that_raises_what_nobody_knows_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    replica = loaded()

    def stumble(timeout_s: float) -> None:
        raise KeyError("ids")

    monkeypatch.setattr(replica._executor, "poll", stumble)
    assert replica.poll() == Fatal("KeyError: 'ids'")


def test_what_keeps_an_engine_from_being_loaded_is_told(tmp_path: Path) -> None:
    replica = Replica("10.0.0.1")
    told = replica.load(OpenVINOSpec(folder=tmp_path), None, 1, None, read_nothing)
    assert isinstance(told, Fatal)
    assert "is not an engine: it has no engine.json" in told.cause
    replica.close()


def test_it_keeps_to_its_cores_and_tells_the_engine_how_many(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The thread that loads is pinned, and so is the process that it starts."""
    seen: list[object] = []

    class Noting(SimulatedSpec):
        def on_part(self, num_cores: int, num_sharing: int) -> ExecutorSpec:
            seen.append((num_cores, num_sharing))
            return self

    monkeypatch.setattr(os, "sched_setaffinity", lambda pid, cpus: seen.append((pid, cpus)))
    cores = [Core(4, 0, 1), Core(5, 0, 1), Core(6, 0, 2)]
    Replica("10.0.0.1").load(Noting(num_tokens=8), cores, 3, None, read_nothing)
    assert seen == [(0, [4, 5, 6]), (2, 3)]


def test_an_engine_on_a_part_of_a_machine_has_its_threads_and_its_share_of_memory(
    tmp_path: Path,
) -> None:
    spec = OpenVINOSpec(folder=tmp_path)
    assert spec.on_part(2, 3) == OpenVINOSpec(folder=tmp_path, num_threads=2, num_sharing=3)
    given = spec.model_copy(update={"num_threads": 1})
    assert given.on_part(2, 1) == given
