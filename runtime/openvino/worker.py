"""The engine's process: one OpenVINO GenAI pipeline, stepped as long as there is work.

It reads requests at all times (a reader thread; `step()` leaves the interpreter lock free), sends
what each step made, and ends when the other end of the pipe closes, whoever closed it.
"""

from __future__ import annotations

import gc
import multiprocessing.connection
import os
import pickle
import queue
import signal
import sys
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Any, TypeAlias

from runtime.memory import available_bytes
from runtime.spec import OpenVINOSpec, spec_from_json

if TYPE_CHECKING:
    from build_engine.checkpoint.architecture import LlamaConfig
    from build_engine.store.limits import EngineLimits

_KV_BLOCK_TOKENS = 32  # OpenVINO GenAI's block size on CPU
_KV_SHARE_OF_FREE_MEMORY = 0.6
# requests handed to the scheduler beyond the batch, so that a freed slot is filled in the next step
_LOOKAHEAD = 8

Row: TypeAlias = tuple[int, int, bool, str | None]
"""A chunk without its ids: the request's id, the number of ids, finished, error."""


class Engine:
    """A continuous-batching pipeline with a queue in front of it.

    The pipeline's scheduler walks all the requests it holds in every step, so it is given a batch
    and a little more; the rest wait here in order of arrival.
    """

    def __init__(self, spec: OpenVINOSpec) -> None:
        import openvino
        import openvino_genai as genai

        from build_engine.store.engine import Engine as EngineFolder

        self._ov, self._genai = openvino, genai
        engine = EngineFolder.load(spec.folder)
        self._limits = engine.limits
        self._vocab_size = engine.vocab_size
        free_bytes = available_bytes() - engine.size_bytes  # the weights are not loaded yet
        self._kv_blocks = num_kv_blocks(engine.manifest.model.config, engine.limits, free_bytes)
        scheduler = genai.SchedulerConfig()
        scheduler.max_num_batched_tokens = self._limits.max_num_tokens
        scheduler.max_num_seqs = self._limits.max_batch_size
        scheduler.num_kv_blocks = self._kv_blocks
        scheduler.dynamic_split_fuse = True
        scheduler.enable_prefix_caching = False  # MLPerf: every query is computed in its entirety
        self.prefix_caching: bool = scheduler.enable_prefix_caching
        properties: dict[str, Any] = dict(engine.manifest.runtime)
        if spec.num_threads:
            properties["INFERENCE_NUM_THREADS"] = spec.num_threads
        self._pipeline = genai.ContinuousBatchingPipeline(
            str(spec.folder), scheduler, "CPU", properties
        )
        self._waiting: deque[tuple[Any, ...]] = deque()
        self._active: dict[int, Any] = {}
        self._failed: list[Row] = []
        self._configs: dict[tuple[Any, ...], Any] = {}
        self._iteration_s: float | None = None

    @property
    def idle(self) -> bool:
        """Whether there is nothing to compute and nothing to tell."""
        return not (self._waiting or self._active or self._failed)

    def add(self, requests: list[tuple[Any, ...]]) -> None:
        """Queue requests in order of arrival."""
        self._waiting.extend(requests)

    def step(self) -> tuple[list[Row], list[int], dict[str, Any]]:
        """One iteration: a row for each new chunk, the ids of all of them end to end, and the
        figures of `ExecutorStats`.
        """
        while self._waiting and len(self._active) < self._limits.max_batch_size + _LOOKAHEAD:
            self._admit(self._waiting.popleft())
        if self._active:
            started_s = time.perf_counter()
            self._pipeline.step()
            self._iteration_s = time.perf_counter() - started_s
        rows, self._failed = self._failed, []
        ids = self._collect(rows)
        metrics = self._pipeline.get_metrics()
        batch = min(len(self._active), self._limits.max_batch_size)
        return (
            rows,
            ids,
            {
                "active": batch,
                "queued": len(self._active) - batch + len(self._waiting),
                "kv_blocks_used": round(metrics.cache_usage / 100 * self._kv_blocks),
                "kv_blocks_total": self._kv_blocks,
                "iteration_s": self._iteration_s,
            },
        )

    def _admit(self, request: tuple[Any, ...]) -> None:
        import numpy as np

        request_id, prompt, *wishes = request
        error = self._refusal(request)
        if error is None:
            ids = self._ov.Tensor(np.ascontiguousarray(prompt, np.int64).reshape(1, -1))
            config = self._config(*wishes)
            self._active[request_id] = self._pipeline.add_request(request_id, ids, config)
        else:
            self._failed.append((request_id, 0, True, error))

    def _refusal(self, request: tuple[Any, ...]) -> str | None:
        """Why the engine cannot serve a request, or None when it can."""
        request_id, prompt, max_new, min_new, stop_ids, _ = request
        limits = self._limits
        if request_id in self._active:
            return "its id is that of another open request"
        if len(prompt) == 0:
            return "its prompt is empty"
        if len(prompt) > limits.max_input_len:
            return f"its prompt has {len(prompt)} tokens, the engine takes {limits.max_input_len}"
        if not 0 <= prompt.min() <= prompt.max() < self._vocab_size:
            return f"its prompt has ids outside of the vocabulary of {self._vocab_size}"
        if min(stop_ids, default=0) < 0:
            return f"it is to stop at {min(stop_ids)}, and ids begin at 0"
        if not 0 <= min_new <= max_new or max_new == 0:
            return f"it asks for at least {min_new} and at most {max_new} new tokens"
        if len(prompt) + max_new > limits.max_seq_len:
            return (
                f"its prompt of {len(prompt)} tokens and {max_new} new ones exceed the engine's "
                f"{limits.max_seq_len}"
            )
        return None

    def _config(
        self, max_new: int, min_new: int, stop_ids: tuple[int, ...], ignore_eos: bool
    ) -> Any:
        """The generation config, greedy; one object for all requests that ask the same."""
        key = (max_new, min_new, stop_ids, ignore_eos)
        if key not in self._configs:
            config = self._genai.GenerationConfig()
            config.do_sample = False
            config.max_new_tokens = max_new
            config.min_new_tokens = min_new
            config.ignore_eos = ignore_eos
            config.apply_chat_template = False
            config.stop_token_ids = set(stop_ids)
            if stop_ids:
                config.set_eos_token_id(stop_ids[0])
            else:
                config.ignore_eos = True
            self._configs[key] = config
        return self._configs[key]

    def _collect(self, rows: list[Row]) -> list[int]:
        """Append a row for each request with news; their ids, end to end."""
        status = self._genai.GenerationStatus
        ids: list[int] = []
        for request_id, handle in list(self._active.items()):
            num_before = len(ids)
            while handle.can_read():
                for output in handle.read().values():
                    ids += output.generated_ids
            num_new = len(ids) - num_before
            state = handle.get_status()
            if not num_new and state == status.RUNNING:
                continue
            error = None
            if state == status.IGNORED:
                error = "the engine has no key/value cache left for it"
            finished = state != status.RUNNING
            rows.append((request_id, num_new, finished, error))
            if finished:
                del self._active[request_id]
        return ids


def num_kv_blocks(config: LlamaConfig, limits: EngineLimits, free_bytes: int) -> int:
    """Blocks of the key/value cache: a full batch of full sequences, or what a share of the free
    memory allows.

    Bytes a token (f32, the widest that a CPU engine keeps) = 2 (key, value) x layers x KV heads x
    head size x 4.
    """
    block_bytes = (
        2 * config.num_layers * config.num_kv_heads * config.head_dim * 4 * _KV_BLOCK_TOKENS
    )
    blocks_per_sequence = -(-limits.max_seq_len // _KV_BLOCK_TOKENS) + 1
    wanted = limits.max_batch_size * blocks_per_sequence
    allowed = int(free_bytes * _KV_SHARE_OF_FREE_MEMORY) // block_bytes
    if allowed < blocks_per_sequence:
        need_gib = blocks_per_sequence * block_bytes / 2**30
        raise MemoryError(
            f"one sequence of {limits.max_seq_len} tokens needs {need_gib:.2f} GiB of key/value "
            f"cache; free memory, or build an engine with a smaller max_seq_len"
        )
    return int(min(wanted, allowed))


def last_line(error: Exception) -> str:
    """OpenVINO's own errors are RuntimeErrors of many lines; the last one says what happened."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__


def _serve(conn: multiprocessing.connection.Connection) -> None:
    def send(kind: str, body: Any) -> None:
        conn.send_bytes(pickle.dumps((kind, body), protocol=pickle.HIGHEST_PROTOCOL))

    import numpy as np

    spec = spec_from_json(pickle.loads(conn.recv_bytes()))
    assert isinstance(spec, OpenVINOSpec)
    inbox: queue.SimpleQueue[list[tuple[Any, ...]]] = queue.SimpleQueue()
    threading.Thread(target=_read, args=(conn, inbox), daemon=True).start()
    try:
        engine = Engine(spec)
        send("ready", {"prefix_caching": engine.prefix_caching})
        gc.collect()
        gc.freeze()
        while True:
            if engine.idle:
                engine.add(inbox.get())
            while not inbox.empty():
                engine.add(inbox.get())
            rows, ids, stats = engine.step()
            # One array for all chunks: an array each would cost more than all else that is sent.
            send("chunks", (rows, np.array(ids, np.int32), stats))
    except (RuntimeError, MemoryError, ValueError) as error:
        send("fatal", last_line(error))


def _read(
    conn: multiprocessing.connection.Connection, inbox: queue.SimpleQueue[list[tuple[Any, ...]]]
) -> None:
    while True:
        try:
            inbox.put(pickle.loads(conn.recv_bytes()))
        except (EOFError, OSError):
            os._exit(
                0
            )  # nobody is left to answer to; a step in progress must not keep the process alive


def main() -> None:
    """Serve the pipe whose file descriptor is the only argument."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the supervisor's to handle
    _serve(multiprocessing.connection.Connection(int(sys.argv[1])))


if __name__ == "__main__":
    main()
