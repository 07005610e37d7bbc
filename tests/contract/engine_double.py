"""The library's executor without a model: it takes requests and answers from a script, by the rules
that `bindings_facts.json` states, and behaves as badly as the library does.

`double.json` in the engine folder is the script; what was asked of the library is noted, a line of
JSON each, in the file that the script names.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
import threading
import time
import weakref
from collections import deque
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from tests.contract.strict import FACTS, documented, failed, fits, made_from, unused

WORLD = made_from(FACTS)
SCRIPT = "double.json"
END_ID, STOP_WORDS, LENGTH = (
    getattr(WORLD["FinishReason"], name) for name in ("END_ID", "STOP_WORDS", "LENGTH")
)
_NOT_FINISHED = WORLD["FinishReason"].NOT_FINISHED
_LOOK_S = 0.05  # while there is nothing to do


@dataclass(frozen=True)
class Script:
    """What the engine does. `fault` happens once request number `fault_at` is active."""

    answer: list[int] = field(default_factory=lambda: [11, 12, 13, 14, 15])
    """The ids that follow every prompt, over and over."""
    load_s: float = 0.0
    step_s: float = 0.0
    hold: int = 1
    """Steps after which responses can be had: several of a request come at once."""
    empties: bool = False
    """Whether an empty response that is not the last comes after each other."""
    late: bool = False
    """Whether responses are there before enqueueing them has returned."""
    fault: str | None = None
    fault_at: int = 1
    journal: str | None = None


class Response:
    """One response; an error has no result, and a result no error."""

    def __init__(self, request_id: int, client_id: int | None, result: Any, error: str) -> None:
        self._request_id, self._client_id = request_id, client_id
        self._result, self._error = result, error

    @property
    def request_id(self) -> int:
        return self._request_id

    @property
    def client_id(self) -> int | None:
        return self._client_id

    def has_error(self) -> bool:
        return self._result is None

    @property
    def error_msg(self) -> str:
        if self._result is not None:
            raise RuntimeError("Cannot get the error message for a response without an error")
        return self._error

    @property
    def result(self) -> Any:
        if self._result is None:
            raise RuntimeError(f"Cannot get the result for a response with an error: {self._error}")
        return _FreshResult(self._result)


class _FreshResult:
    """A result whose ids are new lists at each access."""

    def __init__(self, result: Any) -> None:
        self._result = result

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._result, name)
        return [list(ids) for ids in value] if name == "output_token_ids" else value


def _work(executor: weakref.ref[Executor]) -> None:
    """The thread of an executor. One that is silent turns without end: it goes with the executor,
    or would take half of the interpreter from all later tests.
    """
    while (it := executor()) is not None and (wait_s := it.turn()) is not None:
        del it
        time.sleep(wait_s)


@dataclass
class _Active:
    """A request and how far its answer is."""

    number: int
    request: Any
    max_tokens: int
    ids: list[int] = field(default_factory=list)
    num_told: int = 0


class Executor:
    """In-flight batching over a script, in a thread of its own."""

    def __init__(self, *args: object, **kwargs: Any) -> None:
        self._check_arguments(args, kwargs)
        folder = Path(kwargs["model_path"])
        if not (folder / "config.json").exists():
            raise RuntimeError(failed(f"File does not exist: {folder / 'config.json'}"))
        built = json.loads((folder / "config.json").read_text())["build_config"]
        script = folder / SCRIPT
        self._script = Script(**json.loads(script.read_text()) if script.exists() else {})
        self._config = config = kwargs["executor_config"]
        self._vocab_size = json.loads((folder / "config.json").read_text())["pretrained_config"][
            "vocab_size"
        ]
        self._limits = _limits(config, built)
        self._note(executor=_plain(config), environment=dict(os.environ))
        # the real one holds the interpreter lock while it loads, and so does this
        ctypes.PyDLL(None).usleep(int(self._script.load_s * 1e6))
        if self._script.fault == "load":
            raise RuntimeError(failed("Failed to deserialize cuda engine."))
        self._lock = threading.Condition()
        self._queue: deque[tuple[int, Any]] = deque()
        self._active: list[_Active] = []
        self._held: list[Response] = []
        self._ready: list[Response] = []
        self._stats: deque[Any] = deque(maxlen=config.iter_stats_max_iterations)
        self._num_requests = self._num_steps = 0
        self._closed = False
        threading.Thread(target=_work, args=(weakref.ref(self),), daemon=True).start()

    def enqueue_requests(self, requests: list[Any]) -> list[int]:
        """Ids from 1; a queue without a limit."""
        if not fits(requests, "list[Request]", WORLD):
            raise TypeError("enqueue_requests: incompatible function arguments")
        numbers = []
        with self._lock:
            self._check_open()
            for request in requests:
                self._num_requests += 1
                numbers.append(self._num_requests)
                self._queue.append((self._num_requests, request))
                self._note(request=_plain(request))
            self._lock.notify_all()
            if self._script.late:
                self._lock.wait_for(lambda: bool(self._ready), timeout=1.0)
        return numbers

    def await_responses(self, timeout: timedelta | None = None) -> list[Response]:
        """All that is ready, of every request."""
        if isinstance(timeout, bool | int):
            raise TypeError(f"{timeout!r} would be taken for the id of a request")
        if timeout is not None and not isinstance(timeout, timedelta):
            raise TypeError("await_responses: incompatible function arguments")
        limit_s = None if timeout is None else timeout // timedelta(milliseconds=1) / 1e3
        with self._lock:
            self._check_open()
            self._lock.wait_for(lambda: bool(self._ready) or self._closed, limit_s)
            ready, self._ready = self._ready, []
        return ready

    def get_latest_iteration_stats(self) -> list[Any]:
        """Those since the previous call."""
        with self._lock:
            self._check_open()
            found = list(self._stats)
            self._stats.clear()
        return found

    def can_enqueue_requests(self) -> bool:
        return not self._closed

    def shutdown(self) -> None:
        """Returns when the last open request is answered."""
        self._note(shutdown=len(self._active) + len(self._queue))
        with self._lock:
            self._lock.wait_for(lambda: not self._active and not self._queue)
            self._closed = True
            self._lock.notify_all()

    def __enter__(self) -> Executor:
        return self

    def __exit__(self, *error: object) -> None:
        self.shutdown()

    def _check_arguments(self, args: tuple[object, ...], kwargs: dict[str, Any]) -> None:
        params = FACTS["classes"]["Executor"]["constructors"][0]
        types = {param["name"]: param["type"] for param in params}
        if args or set(kwargs) != set(types):
            raise TypeError(f"Executor: incompatible function arguments: name {sorted(types)}")
        for name, value in kwargs.items():
            if not fits(value, types[name], WORLD):
                raise TypeError(f"Executor: `{name}` takes {types[name]}, not {value!r}")

    def _check_open(self) -> None:
        if self._closed:
            raise RuntimeError(failed("Shutdown called"))

    def _note(self, **what: object) -> None:
        if self._script.journal:
            with Path(self._script.journal).open("a") as file:
                file.write(json.dumps(what) + "\n")

    def turn(self) -> float | None:
        """A step where there is something to do; seconds until the next, None after the last."""
        with self._lock:
            if self._lock.wait_for(lambda: bool(self._queue or self._active), _LOOK_S):
                self._step()
                self._lock.notify_all()
            return None if self._closed else self._script.step_s

    def _step(self) -> None:
        while self._queue and len(self._active) < self._limits["batch"]:
            self._admit(*self._queue.popleft())
        fault = self._script.fault
        if fault and any(each.number >= self._script.fault_at for each in self._active):
            if fault == "silence":  # the busy loop of a scheduler that finds nothing to do
                return
            self._misbehave(fault)
        beginning = [each for each in self._active if not each.ids]
        batch = WORLD["InflightBatchingStats"]()
        batch.num_scheduled_requests = len(self._active)
        batch.num_context_requests = len(beginning)
        batch.num_gen_requests = len(self._active) - len(beginning)
        batch.num_ctx_tokens = sum(len(each.request.input_token_ids) for each in beginning)
        for each in list(self._active):
            self._advance(each)
        self._num_steps += 1
        self._count(batch)
        if self._num_steps % self._script.hold == 0 or not self._active:
            self._ready += self._held
            self._held = []

    def _admit(self, number: int, request: Any) -> None:
        length, limits = len(request.input_token_ids), self._limits
        error = None
        if length > limits["prompt"]:
            error = f"Prompt length ({length}) exceeds maximum input length ({limits['prompt']})."
            error = f"Encountered an error when fetching new request: {error}"
        elif not -1 <= (-1 if request.end_id is None else request.end_id) < self._vocab_size:
            error = f"EndId ({request.end_id}) is not within acceptable range"
        elif (
            request.streaming
            and limits["strict"]
            and length + request.max_tokens - 1 > limits["prompt"]
        ):
            error = "Request sequence length is potentially greater than max input length"
        if error:
            self._respond(number, request, error=failed(error).partition(": ")[2])
            return
        # lowered, and nobody is told
        self._active.append(
            _Active(number, request, min(request.max_tokens, limits["seq"] - length))
        )

    def _misbehave(self, fault: str) -> None:
        text = {
            "cuda": "[TensorRT-LLM][ERROR] CUDA runtime error in cudaMemcpyAsync: an illegal "
            "memory access was encountered",
        }.get(fault, "no room")
        if fault == "abort":
            os.write(sys.stderr.fileno(), b"terminate called after throwing an exception\n")
            os.kill(os.getpid(), signal.SIGABRT)
        elif fault == "request":
            broken = next(each for each in self._active if each.number >= self._script.fault_at)
            self._fail(broken, failed("it is broken"))
        else:
            for each in list(self._active):
                self._fail(
                    each, f"Encountered an error in forwardAsync function: {text}\n1  0x7f [0x7f]"
                )
        if fault in ("request", "step"):  # these pass
            self._script = Script(**{**vars(self._script), "fault": None})

    def _fail(self, active: _Active, error: str) -> None:
        self._active.remove(active)
        self._respond(active.number, active.request, error=error)

    def _advance(self, active: _Active) -> None:
        request, answer = active.request, self._script.answer
        num = len(active.ids)
        new = answer[num % len(answer)]
        if new == request.end_id and num < (request.sampling_config.min_tokens or 0):
            new += 1  # it was masked
        reason = _NOT_FINISHED
        if new == request.end_id:
            reason = END_ID  # and the id itself is not in the answer
        else:
            active.ids.append(new)
            if any(word == [new] for word in request.stop_words or []):
                reason = STOP_WORDS
            elif num + 1 == active.max_tokens:
                reason = LENGTH
        final = reason != _NOT_FINISHED
        if final:
            self._active.remove(active)
        if request.streaming:
            told = active.ids[active.num_told :]
            active.num_told = len(active.ids)
            self._respond(active.number, request, ids=told, reason=reason)
            if self._script.empties and not final:
                self._respond(active.number, request, ids=[], reason=reason)
        elif final:
            whole = request.output_config.exclude_input_from_output
            prompt = [] if whole else [int(each) for each in request.input_token_ids]
            self._respond(active.number, request, ids=prompt + active.ids, reason=reason)

    def _respond(
        self,
        number: int,
        request: Any,
        *,
        ids: list[int] | None = None,
        reason: Any = None,
        error: str = "",
    ) -> None:
        result = None
        if ids is not None:
            result = WORLD["Result"]()
            result.output_token_ids = [ids]
            result.finish_reasons = [reason]
            result.is_final = reason != _NOT_FINISHED
        self._held.append(Response(number, request.client_id, result, error))

    def _count(self, batch: Any) -> None:
        stats, blocks = WORLD["IterationStats"](), WORLD["KvCacheStats"]()
        blocks.max_num_blocks, blocks.used_num_blocks = 100, len(self._active)
        stats.iter, stats.iter_latency_ms = self._num_steps, 2.5
        stats.num_active_requests = len(self._active)
        stats.num_queued_requests = len(self._queue)
        stats.kv_cache_stats = blocks
        stats.inflight_batching_stats = batch
        self._stats.append(stats)


def _complete(kind: Any) -> None:
    """Let a class have all that the facts name, though nothing of ours uses the rest."""
    fact = FACTS["classes"][kind.__name__]
    texts = [documented(params) for params in fact["constructors"]]
    kind.__init__.__doc__ = "\n".join(f"{n}. ``{text}``" for n, text in enumerate(texts, 1))
    for name in fact["methods"]:
        if not hasattr(kind, name):
            setattr(kind, name, unused)


_complete(Executor)
_complete(Response)


def _limits(config: Any, built: Any) -> dict[str, int]:
    """What the engine does, of what it was built for and what it is asked."""
    if config.batching_type == WORLD["BatchingType"].STATIC:
        raise RuntimeError(failed("Static batching is not supported"))
    batch, tokens = built["max_batch_size"], built["max_num_tokens"]
    if (asked := config.max_batch_size) is not None:
        if asked > batch:
            raise RuntimeError(
                failed(
                    f"Runtime configured max batch size ({asked}) must not exceed engine max "
                    f"batch size ({batch})"
                )
            )
        batch = asked
    tokens = min(tokens, config.max_num_tokens or tokens)
    paged = built["plugin_config"]["use_paged_context_fmha"]
    chunked = config.enable_chunked_context and paged  # switched off without an error
    longest = built["max_seq_len"] - 1
    policy = config.scheduler_config.capacity_scheduler_policy
    evicts = policy == WORLD["CapacitySchedulerPolicy"].MAX_UTILIZATION
    return {
        "batch": batch,
        "seq": built["max_seq_len"],
        "prompt": longest if chunked else min(longest, tokens),
        "strict": evicts and not chunked,
    }


def _plain(value: Any) -> Any:
    """An object of the library as JSON."""
    if hasattr(value, "_values"):
        return {name: _plain(each) for name, each in value._values.items()}
    if isinstance(value, list):
        return value
    return value if isinstance(value, int | float | str | None) else str(value)
