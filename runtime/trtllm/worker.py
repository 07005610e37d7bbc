"""The engine in its own process: one GPU, and TensorRT-LLM's executor over it.

The executor runs in threads of its own and takes requests at any time, so a step here only hands
over what waits and collects what is ready. `runtime/worker.py` steps it;
`runtime/trtllm/executor.py` is the other end.
"""

from __future__ import annotations

import io
import os
import sys
import time
import traceback
from collections import deque
from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from runtime.executor import ExecutorStats, Request
from runtime.messages import Chunks
from runtime.trtllm import library
from runtime.trtllm.answers import News, first_line, is_lasting, is_of_all, unservable
from runtime.trtllm.sizes import Sizes
from runtime.trtllm.spec import TRTLLMSpec
from runtime.worker import work

if TYPE_CHECKING:
    from runtime.messages import ChunkRow

# as long as a request that arrives may wait here; the call returns as soon as anything is ready
_WAIT = timedelta(milliseconds=2)
_STATS_EVERY_S = 0.1
_BATCHES_AHEAD = 4  # handed over beforehand; more would only lengthen the library's queue
_MOST_AT_ONCE = 256  # enqueueing holds the interpreter lock
_BAD_STEPS = 2  # in a row, after which the engine counts as broken

_kept: list[object] = []
"""What must not be collected: the destructor of an executor waits for all its open requests."""


class Engine:
    """TensorRT-LLM's executor with a queue in front of it."""

    def __init__(self, spec: TRTLLMSpec) -> None:
        self._sizes = sizes = Sizes.of(spec)
        trt = library.bindings(sizes.version)
        try:
            config = library.executor_config(trt, spec, sizes)
            self._executor = library.start(trt, spec.folder, config)
        except RuntimeError as error:
            raise RuntimeError(first_line(str(error))) from None
        _kept.append(self._executor)
        self.prefix_caching: bool = config.kv_cache_config.enable_block_reuse
        self._maker = library.RequestMaker(trt)
        self._reasons = trt.FinishReason
        self._evicts = spec.evicts
        self._waiting: deque[Request] = deque()
        self._open: dict[int, int] = {}  # the end id of each
        self._refused: list[ChunkRow] = []
        self._num_bad_steps = 0
        self._looked_s = 0.0
        self._iteration: Any = None
        self._num_prompt_tokens = self._num_tokens = 0
        self._counts = False  # whether iterations say what was in them

    @property
    def idle(self) -> bool:
        """Whether there is nothing to compute and nothing to tell."""
        return not (self._waiting or self._open or self._refused)

    def add(self, requests: Sequence[Request]) -> None:
        """Queue requests in order of arrival."""
        self._waiting.extend(requests)

    def step(self) -> Chunks | None:
        """What has become ready, and the figures of the latest iteration; None if neither came."""
        self._hand_over()
        rows, self._refused = self._refused, []
        wait = timedelta(0) if rows else _WAIT
        news = self._collect(self._executor.await_responses(timeout=wait)) if self._open else {}
        seen = self._look()
        if not (rows or news or seen):
            return None
        ids: list[int] = []
        for number, each in news.items():
            rows.append((number, len(each.ids), each.finished, each.error))
            ids += each.ids
        return self._chunks(rows, ids)

    def _hand_over(self) -> None:
        room = _BATCHES_AHEAD * self._sizes.max_batch_size - len(self._open)
        made: list[Any] = []
        while self._waiting and len(made) < min(room, _MOST_AT_ONCE):
            request = self._waiting.popleft()
            fault = unservable(request, self._sizes, evicts=self._evicts)
            error = None if fault is None else fault.reason
            if request.id in self._open:
                error = "its id is that of another open request"
            if error is not None:
                self._refused.append((request.id, 0, True, error))
                continue
            self._open[request.id] = library.end_id(request)
            made.append(self._maker.make(request))
        if made:
            self._executor.enqueue_requests(made)

    def _collect(self, responses: Sequence[Any]) -> dict[int, News]:
        """What is new of each request: several responses of one may have come. Raises RuntimeError
        when the engine is broken.
        """
        news: dict[int, News] = {}
        for response in responses:
            number = response.client_id
            if number not in self._open:
                raise RuntimeError(f"the engine answered request {number}, which is not open")
            each = news.setdefault(number, News())
            each.add(response, self._open[number], self._reasons)
            if each.finished:
                self._num_tokens += each.error is None  # its first, which came with its prompt
                del self._open[number]
        self._check([each.error for each in news.values()])
        return {number: each for number, each in news.items() if each.ids or each.finished}

    def _check(self, errors: Sequence[str | None]) -> None:
        """Raise RuntimeError for a GPU that is lost, or when one step after another fails."""
        told = [error for error in errors if error is not None]
        for error in told:
            if is_lasting(error):
                raise RuntimeError(error)
        failed = [error for error in told if is_of_all(error)]
        if failed:
            self._num_bad_steps += 1
            if self._num_bad_steps >= _BAD_STEPS:
                raise RuntimeError(f"step after step fails: {failed[0]}")
        elif errors:
            self._num_bad_steps = 0

    def _look(self) -> bool:
        """Whether there was an iteration since the last look, which is a moment ago at least."""
        now_s = time.monotonic()
        if not self._open or now_s - self._looked_s < _STATS_EVERY_S:
            return False
        self._looked_s = now_s
        latest = self._executor.get_latest_iteration_stats()  # and it forgets them
        if latest:
            self._iteration = latest[-1]
        for each in latest:
            if (batch := each.inflight_batching_stats) is not None:
                self._counts = True
                self._num_prompt_tokens += batch.num_ctx_tokens
                self._num_tokens += batch.num_gen_requests  # each makes one
        return bool(latest)

    def _chunks(self, rows: list[ChunkRow], ids: list[int]) -> Chunks:
        import numpy as np

        latest, num_open = self._iteration, len(self._open)
        blocks = latest.kv_cache_stats if latest else None
        # with nothing scheduled no figures come, and the last ones are of another time
        active = min(num_open, latest.num_active_requests if latest else self._sizes.max_batch_size)
        stats = ExecutorStats(
            active=active,
            queued=num_open - active + len(self._waiting),
            kv_blocks_used=(blocks.used_num_blocks if num_open else 0) if blocks else None,
            kv_blocks_total=blocks.max_num_blocks if blocks else None,
            iteration_s=latest.iter_latency_ms / 1e3 if latest else None,
            prompt_tokens=self._num_prompt_tokens if self._counts else None,
            tokens=self._num_tokens if self._counts else None,
        )
        return Chunks(rows, np.array(ids, np.int32), stats)


def _start(spec: TRTLLMSpec) -> Engine:
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)  # a crash takes nothing along
    environment = library.prepare(dict(os.environ), spec.gpu)
    os.environ.clear()
    os.environ.update(environment)
    return Engine(spec)


def main() -> None:
    """Serve, and end at once: what the library does at the end of a process can hang."""
    code = 0
    try:
        work(TRTLLMSpec, _start)
    except Exception:
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    os._exit(code)


if __name__ == "__main__":
    main()
