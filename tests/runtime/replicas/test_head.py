"""The head over replicas without Ray: what comes out, and what is done when one is lost."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager

import numpy as np
import pytest

from build_engine.errors import EngineDied
from runtime import signs
from runtime.executor import Chunk, ExecutorStats, Request
from runtime.messages import Chunks, Work
from runtime.replicas import replica
from runtime.replicas.head import Head
from runtime.simulated.spec import SimulatedSpec
from tests.runtime.replicas.fakes import FakeHandle

STEADY = SimulatedSpec(num_tokens=8, ttft_s=0.02, tpot_s=0.01)
SLOW = SimulatedSpec(num_tokens=8, ttft_s=0.02, tpot_s=0.2)


def requests(num: int, length: int = 20) -> list[Request]:
    prompt = np.arange(length, dtype=np.int32)
    return [Request(number, prompt, 8) for number in range(num)]


@contextmanager
def head_over(
    *specs: SimulatedSpec, tolerate: bool = False, silence_s: float = 20.0
) -> Iterator[tuple[Head, list[FakeHandle]]]:
    handles = [FakeHandle(f"node-{number}", spec) for number, spec in enumerate(specs)]
    loaded = [handle.loaded for handle in handles]
    head = Head(handles, loaded, tolerate_failures=tolerate, silence_s=silence_s)
    try:
        yield head, handles
    finally:
        for handle in handles:
            handle.close()


def until_finished(head: Head, num: int) -> tuple[dict[int, list[int]], Chunks]:
    """The ids of each answer, and the last news."""
    ids: dict[int, list[int]] = {}
    news, done = None, 0
    until_s = time.monotonic() + 20.0
    while done < num:
        assert time.monotonic() < until_s
        news = head.step()
        assert news is not None
        for chunk in news.chunks:
            assert chunk.error is None
            ids.setdefault(chunk.id, []).extend(chunk.token_ids.tolist())
            done += chunk.finished
    assert news is not None
    return ids, news


def test_all_requests_are_answered_whole_by_all_replicas() -> None:
    with head_over(STEADY, STEADY) as (head, handles):
        head.submit(requests(40))
        answers, news = until_finished(head, 40)
        assert answers == {number: list(range(100, 108)) for number in range(40)}
        loads = news.stats.replicas
        assert [load.requests for load in loads] == [20, 20]
        assert [load.tokens for load in loads] == [160, 160]
        assert [load.prompt_tokens for load in loads] == [400, 400]
        assert [load.node for load in loads] == ["node-0", "node-1"]
        assert all(load.busy_s > 0 and load.lost is None for load in loads)
        assert (news.stats.active, news.stats.queued) == (0, 0)
        assert [len(handle.submitted) for handle in handles] == [1, 1]  # not one by one
        time.sleep(0.1)
        later = head.step()
        assert later is not None
        assert all(load.dispatch_p99_s is not None for load in later.stats.replicas)
        did = later.stats.head
        assert did is not None and did.messages > 0
        assert 0 < did.busy_s < did.open_s
        assert min(did.handing_s, did.passing_s, did.telling_s, did.cpu_s) > 0


def test_what_was_timed_before_is_in_no_later_percentile(monkeypatch: pytest.MonkeyPatch) -> None:
    with head_over(STEADY, STEADY) as (head, handles):
        promptly = handles[0].submit

        def cold(work: Work) -> Future[None]:
            time.sleep(0.3)
            return promptly(work)

        monkeypatch.setattr(handles[0], "submit", cold)
        head.submit(requests(2))
        _, news = until_finished(head, 2)
        before = news.stats.replicas[0].dispatch_p99_s
        assert before is not None and before >= 0.3
        monkeypatch.setattr(handles[0], "submit", promptly)
        head.forget_times()
        later = head.step()
        assert later is not None
        assert [load.dispatch_p99_s for load in later.stats.replicas] == [None, None]
        head.submit(requests(2))
        _, news = until_finished(head, 2)
        after = news.stats.replicas[0].dispatch_p99_s
        assert after is not None and after < 0.3


def test_figures_of_a_lost_replica_are_what_came_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    told = ExecutorStats(5, 1, kv_blocks_used=10, kv_blocks_total=20, prompt_tokens=300, tokens=90)
    with head_over(STEADY, STEADY, tolerate=True) as (head, handles):
        for handle in handles:
            monkeypatch.setattr(handle.replica._executor, "stats", lambda: told)
        head.submit(requests(10))
        _, news = until_finished(head, 10)
        stats = news.stats
        assert (stats.active, stats.queued, stats.tokens, stats.kv_blocks_total) == (10, 2, 180, 40)
        handles[0].dies = RuntimeError("gone")
        while stats.replicas[0].lost is None:
            step = head.step()
            assert step is not None
            stats = step.stats
    assert (stats.active, stats.queued) == (5, 1)
    assert (stats.kv_blocks_used, stats.kv_blocks_total) == (10, 20)
    assert (stats.prompt_tokens, stats.tokens) == (100 + 300, 40 + 90)  # 5 of 20 ids, 8 each


def test_long_prompts_go_out_in_several_calls() -> None:
    with head_over(STEADY) as (head, handles):
        head.submit(requests(4, length=10_000))
        until_finished(head, 4)
        assert handles[0].submitted == [1, 1, 1, 1]


def test_it_ends_when_it_is_told_to() -> None:
    with head_over(STEADY) as (head, _):
        head.submit(requests(3))
        head.stop()
        while head.step() is not None:
            pass


def test_an_error_of_a_request_is_passed_on_and_is_no_loss() -> None:
    faulty = STEADY.model_copy(update={"fault": "error", "fault_after": 0})
    with head_over(faulty) as (head, _):
        head.submit(requests(2))
        chunks: list[Chunk] = []
        while sum(chunk.finished for chunk in chunks) < 2:
            news = head.step()
            assert news is not None
            chunks += news.chunks
        assert [chunk.error for chunk in chunks if chunk.id == 0] == ["failed as told"]


def lost_with(head: Head) -> str:
    until_s = time.monotonic() + 20.0
    with pytest.raises(EngineDied) as caught:
        while time.monotonic() < until_s:
            head.step()
    return str(caught.value)


def test_a_replica_whose_process_is_gone_is_named_with_its_machine_and_what_it_had() -> None:
    with head_over(STEADY, SLOW) as (head, handles):
        head.submit(requests(10))
        head.step()
        handles[1].dies = RuntimeError("The actor died unexpectedly.\nand a page more")
        assert lost_with(head) == (
            "replica 2 of 2, on node-1, was lost with 5 open requests: The actor died unexpectedly"
        )


def test_an_engine_that_dies_says_why() -> None:
    dying = STEADY.model_copy(update={"fault": "die", "fault_after": 0})
    with head_over(dying, STEADY) as (head, _):
        head.submit(requests(2))
        told = lost_with(head)
    assert told.startswith("replica 1 of 2, on node-0, was lost with 1 open request: ")
    assert told.endswith("the simulated engine died at answer 0, as told")


def test_a_replica_that_is_not_heard_of_is_lost_after_a_while() -> None:
    with head_over(STEADY, STEADY, silence_s=1.5) as (head, handles):
        handles[0].silent.set()
        started_s = time.monotonic()
        told = lost_with(head)
        assert 1.0 < time.monotonic() - started_s < 10.0
    assert told.startswith(
        "replica 1 of 2, on node-0, was lost with 0 open requests: it has not answered for 2 s; "
        "its machine, or the link to it, is down"
    )


def test_a_replica_whose_engine_hangs_is_lost_though_it_answers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(signs, "MOST_S", 0.5)  # it tells of no iterations
    monkeypatch.setattr(replica, "_POLL_S", 0.1)
    hanging = STEADY.model_copy(update={"fault": "drop", "fault_after": 1})
    with head_over(STEADY, hanging, tolerate=True) as (head, _):
        head.submit(requests(10))
        answers, news = until_finished(head, 10)
        assert answers == {number: list(range(100, 108)) for number in range(10)}
        kept, lost = news.stats.replicas
        assert (kept.lost, kept.requests, lost.requests) == (None, 6, 4)
        assert lost.lost is not None and "gave no sign for" in lost.lost
    with head_over(STEADY, hanging) as (head, _):
        head.submit(requests(10))
        told = lost_with(head)
    assert told.startswith(
        "replica 2 of 2, on node-1, was lost with 1 open request: the engine died: it gave no sign "
    )


def test_requests_that_do_not_arrive_are_no_silent_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(work: Work) -> Future[None]:
        future: Future[None] = Future()
        future.set_exception(ValueError("a call that nobody can read\nand a page more"))
        return future

    with head_over(STEADY, STEADY) as (head, handles):
        monkeypatch.setattr(handles[1], "submit", fail)
        head.submit(requests(10))
        assert lost_with(head) == (
            "replica 2 of 2, on node-1, was lost with 5 open requests: requests did not arrive: a "
            "call that nobody can read"
        )
    with head_over(STEADY, STEADY, tolerate=True) as (head, handles):
        monkeypatch.setattr(handles[1], "submit", fail)
        head.submit(requests(10))
        answers, news = until_finished(head, 10)
        assert len(answers) == news.stats.replicas[0].requests == 10


def test_what_a_lost_replica_had_is_answered_by_the_others_each_token_once() -> None:
    with head_over(SLOW, STEADY, tolerate=True) as (head, handles):
        head.submit(requests(10))
        first = head.step()
        assert first is not None
        seen = {chunk.id: chunk.token_ids.tolist() for chunk in first.chunks}
        handles[0].dies = RuntimeError("gone")
        answers, news = until_finished(head, 10)
    for number in range(10):
        assert seen.get(number, []) + answers[number] == list(range(100, 108))
    lost, other = news.stats.replicas
    assert lost.lost == "gone"
    assert other.requests + lost.requests == 10
    assert other.lost is None


def test_the_last_replica_is_the_end_even_where_failures_are_tolerated() -> None:
    with head_over(SLOW, tolerate=True) as (head, handles):
        head.submit(requests(3))
        head.step()
        handles[0].dies = RuntimeError("gone")
        assert lost_with(head) == "replica 1 of 1, on node-0, was lost with 3 open requests: gone"


def test_caching_of_one_replica_is_that_of_all() -> None:
    with head_over(STEADY) as (head, _):
        assert head.prefix_caching is False
