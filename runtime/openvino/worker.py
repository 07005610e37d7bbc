"""The engine in its own process: one OpenVINO GenAI pipeline with a queue in front of it.

`runtime/worker.py` steps it; `runtime/openvino/executor.py` is the other end.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from build_engine.errors import EnvironmentFault
from build_engine.free_memory import available_bytes
from build_engine.openvino.sizes import KV_BLOCK_TOKENS, KV_CACHE_SHARE, request_bytes
from runtime.executor import NO_CACHE_LEFT, ExecutorStats, Request
from runtime.messages import Chunks
from runtime.openvino.prompts import PromptsRead
from runtime.openvino.spec import OpenVINOSpec
from runtime.worker import work

if TYPE_CHECKING:
    from build_engine.checkpoint.architecture import LlamaConfig
    from build_engine.store.limits import EngineLimits
    from runtime.messages import ChunkRow

# requests handed to the scheduler beyond the batch, so that a freed slot is filled in the next step
_LOOKAHEAD = 8
# Compiled kernels that OpenVINO keeps, one for each shape: a step has some ten. Its own 5,000 cost
# a server with requests of all lengths gigabytes, and save it no time.
_KEPT_KERNELS = 64
_TELL_S = 0.1  # between two figures; news that nobody waits for go with them
_FEW_MORE = 2  # beyond the batch: what has to come now arrives before the batch has a hole
_MOST_CONFIGS = 256  # whoever asks may ask something else each time
_CANCELLED = "it was given up by whoever asked"


@dataclass(slots=True)
class _Open:
    """A request that the pipeline holds, and the ids of its answer that were not told yet."""

    handle: Any
    streaming: bool
    untold: list[int] = field(default_factory=list)


class Engine:
    """A continuous-batching pipeline with a queue in front of it.

    The pipeline's scheduler walks all the requests it holds in every step, so it is given a batch
    and a little more; the rest wait here in order of arrival.
    """

    def __init__(self, spec: OpenVINOSpec) -> None:
        import openvino
        import openvino_genai as genai

        from build_engine.openvino.activations import GROUP_SIZE_PROPERTY, require_int8
        from build_engine.store.engine import Engine as EngineFolder

        self._ov, self._genai = openvino, genai
        engine = EngineFolder.load(spec.folder)
        self._limits = limits_of(spec, engine.limits)
        self._vocab_size = engine.vocab_size
        # the weights are not loaded yet
        free_bytes = available_bytes() // spec.num_sharing - engine.size_bytes
        self._kv_blocks = num_kv_blocks(engine.manifest.model.config, self._limits, free_bytes)
        scheduler = genai.SchedulerConfig()
        scheduler.max_num_batched_tokens = self._limits.max_num_tokens
        scheduler.max_num_seqs = self._limits.max_batch_size
        scheduler.num_kv_blocks = self._kv_blocks
        scheduler.dynamic_split_fuse = True
        scheduler.enable_prefix_caching = False  # MLPerf: every query is computed in its entirety
        self.prefix_caching: bool = scheduler.enable_prefix_caching
        properties: dict[str, Any] = dict(engine.manifest.runtime)
        properties["CPU_RUNTIME_CACHE_CAPACITY"] = _KEPT_KERNELS
        if properties[GROUP_SIZE_PROPERTY] != "0":
            require_int8()  # OpenVINO would load the engine and compute in floating point
        if spec.num_threads:
            properties["INFERENCE_NUM_THREADS"] = spec.num_threads
        self._pipeline = genai.ContinuousBatchingPipeline(
            str(spec.folder), scheduler, "CPU", properties
        )
        self._waiting: deque[Request] = deque()
        self._active: dict[int, _Open] = {}
        self._rows: list[ChunkRow] = []
        self._ids: list[int] = []
        self._urgent = False
        self._fault: RuntimeError | None = None
        self._prompts = PromptsRead(self._limits.max_num_tokens)
        self._configs: dict[tuple[Any, ...], Any] = {}
        self._iteration_s: float | None = None
        self._num_tokens = 0
        self._told_s = 0.0

    @property
    def idle(self) -> bool:
        """Whether there is nothing to compute and nothing to tell."""
        return not (self._waiting or self._active or self._rows)

    def add(self, requests: Sequence[Request]) -> None:
        """Queue requests in order of arrival."""
        self._waiting.extend(requests)

    def cancel(self, request_ids: Sequence[int]) -> None:
        """See `Cancelling.cancel`: the scheduler drops them in the next step."""
        given_up = set(request_ids)
        for request in [r for r in self._waiting if r.id in given_up]:
            self._fail(request, _CANCELLED)
        self._waiting = deque(r for r in self._waiting if r.id not in given_up)
        for request_id in given_up & self._active.keys():
            self._active[request_id].handle.cancel()

    def step(self) -> Chunks | None:
        """One iteration: all that has news, and the figures after it; None where nobody waits for
        the news, and others were told a moment ago. Where one fails, what was made before it is
        told first.
        """
        if self._fault is not None:
            raise self._fault
        while self._waiting and len(self._active) < self._limits.max_batch_size + _LOOKAHEAD:
            self._admit(self._waiting.popleft())
        if self._active:
            started_s = time.perf_counter()
            try:
                self._pipeline.step()
            except RuntimeError as fault:
                self._fault = fault
                return self._news()
            self._iteration_s = time.perf_counter() - started_s
        self._collect()
        late = time.perf_counter() - self._told_s >= _TELL_S
        return self._news() if late or self._urgent else None

    def _news(self) -> Chunks:
        """All that was not told yet."""
        import numpy as np

        self._told_s, self._urgent = time.perf_counter(), False
        rows, ids = self._rows, self._ids
        self._rows, self._ids = [], []
        metrics = self._pipeline.get_metrics()
        batch = min(len(self._active), self._limits.max_batch_size)
        stats = ExecutorStats(
            active=batch,
            queued=len(self._active) - batch + len(self._waiting),
            kv_blocks_used=round(metrics.cache_usage / 100 * self._kv_blocks),
            kv_blocks_total=self._kv_blocks,
            iteration_s=self._iteration_s,
            prompt_tokens=self._prompts.num_tokens,
            tokens=self._num_tokens,
        )
        return Chunks(rows, np.array(ids, np.int32), stats)

    def _admit(self, request: Request) -> None:
        import numpy as np

        error = self._refusal(request)
        if error is None:
            ids = self._ov.Tensor(np.ascontiguousarray(request.prompt_ids, np.int64).reshape(1, -1))
            config = self._config(request)
            handle = self._pipeline.add_request(request.id, ids, config)
            self._active[request.id] = _Open(handle, request.streaming)
            self._prompts.add(request.id, len(request.prompt_ids))
        else:
            self._fail(request, error)

    def _fail(self, request: Request, error: str) -> None:
        self._rows.append((request.id, 0, True, error))
        self._urgent = True

    def _refusal(self, request: Request) -> str | None:
        """Why the engine cannot serve a request, or None when it can."""
        prompt, limits = request.prompt_ids, self._limits
        min_new, max_new = request.min_new_tokens, request.max_new_tokens
        if request.id in self._active:
            return "its id is that of another open request"
        if len(prompt) == 0:
            return "its prompt is empty"
        if len(prompt) > limits.max_input_len:
            return f"its prompt has {len(prompt)} tokens, the engine takes {limits.max_input_len}"
        if not 0 <= prompt.min() <= prompt.max() < self._vocab_size:
            return f"its prompt has ids outside of the vocabulary of {self._vocab_size}"
        if min(request.stop_ids, default=0) < 0:
            return f"it is to stop at {min(request.stop_ids)}, and ids begin at 0"
        if not 0 <= min_new <= max_new or max_new == 0:
            return f"it asks for at least {min_new} and at most {max_new} new tokens"
        if len(prompt) + max_new > limits.max_seq_len:
            return (
                f"its prompt of {len(prompt)} tokens and {max_new} new ones exceed the engine's "
                f"{limits.max_seq_len}"
            )
        return None

    def _config(self, request: Request) -> Any:
        """The generation config, greedy; one object for all requests that ask the same."""
        max_new, min_new = request.max_new_tokens, request.min_new_tokens
        key = (max_new, min_new, request.stop_ids, request.ignore_eos)
        if key not in self._configs:
            if len(self._configs) == _MOST_CONFIGS:
                self._configs.clear()
            config = self._genai.GenerationConfig()
            config.do_sample = False
            config.max_new_tokens = max_new
            config.min_new_tokens = min_new
            config.ignore_eos = request.ignore_eos
            config.apply_chat_template = False
            config.stop_token_ids = set(request.stop_ids)
            if request.stop_ids:
                config.set_eos_token_id(request.stop_ids[0])
            else:
                config.ignore_eos = True
            self._configs[key] = config
        return self._configs[key]

    def _collect(self) -> None:
        """Keep a row for each request with news that are to be told, and their ids, end to end.

        They are urgent where somebody waits for each token, where one failed, and where few others
        wait for a place: more have to come soon, or nobody has to wait. All else that is told at
        once would take time from the engine.
        """
        status = self._genai.GenerationStatus
        made: list[tuple[int, int]] = []
        for request_id, opened in list(self._active.items()):
            handle, untold = opened.handle, opened.untold
            num_before = len(untold)
            while handle.can_read():
                for output in handle.read().values():
                    untold += output.generated_ids
            num_new = len(untold) - num_before
            state = handle.get_status()
            finished = state != status.RUNNING
            if num_new or finished:
                made.append((request_id, num_new))
                self._num_tokens += num_new
            if finished or (untold and opened.streaming):
                error = _error(state, status)
                self._rows.append((request_id, len(untold), finished, error))
                self._ids += untold
                opened.untold = []
                self._urgent |= opened.streaming or error is not None
            if finished:
                del self._active[request_id]
        self._prompts.step(made)
        num_more = len(self._active) + len(self._waiting) - self._limits.max_batch_size
        if self._rows and num_more <= _FEW_MORE:
            self._urgent = True


def _error(state: Any, status: Any) -> str | None:
    """Why a request ended without its whole answer, None where it did not."""
    if state == status.IGNORED:
        return NO_CACHE_LEFT
    return _CANCELLED if state == status.CANCEL else None


def limits_of(spec: OpenVINOSpec, built: EngineLimits) -> EngineLimits:
    """The limits that an engine is executed with, at most those that it was built for."""
    return replace(
        built,
        max_batch_size=min(spec.max_batch_size or built.max_batch_size, built.max_batch_size),
        max_num_tokens=min(spec.max_num_tokens or built.max_num_tokens, built.max_num_tokens),
    )


def num_kv_blocks(config: LlamaConfig, limits: EngineLimits, free_bytes: int) -> int:
    """Blocks of the key/value cache: a full batch of full sequences, or what a share of the free
    memory allows.

    Bytes are those of the widest cache that a CPU engine keeps. Raises EnvironmentFault where one
    sequence has no room.
    """
    blocks_per_sequence = -(-limits.max_seq_len // KV_BLOCK_TOKENS) + 1
    block_bytes = request_bytes(config, limits) // blocks_per_sequence
    wanted = limits.max_batch_size * blocks_per_sequence
    allowed = int(free_bytes * KV_CACHE_SHARE) // block_bytes
    if allowed < blocks_per_sequence:
        need_gib = blocks_per_sequence * block_bytes / 2**30
        raise EnvironmentFault(
            f"One sequence of {limits.max_seq_len} tokens needs {need_gib:.2f} GiB of key/value "
            "cache, and memory for that is not free; free some, give fewer --replicas, or build an "
            "engine with a smaller max_seq_len."
        )
    return int(min(wanted, allowed))


if __name__ == "__main__":
    work(OpenVINOSpec, Engine)
