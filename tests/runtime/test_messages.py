"""What crosses to an engine's process and back is what was sent."""

from __future__ import annotations

import pickle

import numpy as np

from runtime.executor import ExecutorStats, HeadLoad, ReplicaLoad, Request
from runtime.messages import Chunks, Work


def test_requests_come_back_as_they_went() -> None:
    requests = [
        Request(7, np.arange(3, dtype=np.int32), 128, 2, (2, 5), True, False),
        Request(8, np.arange(1, dtype=np.int32), 1),
    ]
    heard = pickle.loads(pickle.dumps(Work.of(requests))).requests
    for sent, got in zip(requests, heard, strict=True):
        assert got.prompt_ids.dtype == np.int32
        assert got.prompt_ids.tolist() == sent.prompt_ids.tolist()
        rest = [getattr(got, name) for name in Request.__slots__ if name != "prompt_ids"]
        assert rest == [getattr(sent, name) for name in Request.__slots__ if name != "prompt_ids"]


def test_chunks_share_one_array_and_come_with_every_figure() -> None:
    stats = ExecutorStats(
        active=1,
        queued=2,
        kv_blocks_used=3,
        kv_blocks_total=4,
        iteration_s=0.5,
        prompt_tokens=6,
        tokens=7,
        replicas=(ReplicaLoad(1, "a", "GPU 0", 8, 800, 80, 2.0, 0.001),),
        head=HeadLoad(2.0, 0.1, 0.2, 0.3, 0.4, 0.5, 6),
    )
    rows = [(7, 2, False, None), (8, 0, True, "too long"), (9, 1, True, None)]
    heard = pickle.loads(pickle.dumps(Chunks(list(rows), np.array([1, 2, 3], np.int32), stats)))
    assert heard.stats == stats
    found = [(c.id, c.token_ids.tolist(), c.finished, c.error) for c in heard.chunks]
    assert found == [(7, [1, 2], False, None), (8, [], True, "too long"), (9, [3], True, None)]
