"""The one protocol between the harness and any engine.

The harness submits requests and polls chunks; it knows nothing else of an engine. Tokens are
counted from ids and never re-tokenised.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol, runtime_checkable

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    TokenIds = NDArray[np.int32]

NO_CACHE_LEFT = "the engine has no key/value cache left for it"
"""The error of a request that would be answered at a quieter time."""


@dataclass(frozen=True, slots=True)
class Request:
    """One prompt to answer, greedily.

    `prompt_ids` is int32 of shape [prompt length]. The answer has at least `min_new_tokens` and at
    most `max_new_tokens` ids and ends early after the first id of `stop_ids`, which is part of the
    answer, unless `ignore_eos` is set. With `streaming` its tokens are wanted as they are made, so
    that its first one has a time; without, an engine that saves work by it may tell them at once,
    and those of a few answers together a moment later, while other requests wait for a place.
    """

    id: int
    prompt_ids: TokenIds
    max_new_tokens: int
    min_new_tokens: int = 1
    stop_ids: tuple[int, ...] = ()
    ignore_eos: bool = False
    streaming: bool = True


@dataclass(frozen=True, slots=True)
class Chunk:
    """New tokens of one request: int32 of shape [n], n >= 0.

    The last chunk of a request has `finished`; a request that failed ends in a finished chunk with
    `error`.
    """

    id: int
    token_ids: TokenIds
    finished: bool
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Unservable:
    """Why an engine cannot serve a request, whatever else it does."""

    part: Literal["prompt_ids", "max_new_tokens", "min_new_tokens", "stop_ids"]
    """The field of the request that asks too much."""
    reason: str
    """In words that can follow its name."""


@dataclass(frozen=True, slots=True)
class ReplicaLoad:
    """What one replica of an engine has done since it was loaded."""

    number: int
    """From 1 on."""
    node: str
    """The machine that it is on."""
    device: str
    """What it has there to itself."""
    requests: int
    """That it has answered."""
    prompt_tokens: int
    """Of the answered requests."""
    tokens: int
    """That it has made."""
    busy_s: float
    """With a request open."""
    dispatch_p99_s: float | None
    """From handing it requests to knowing that it has them, the 99th percentile of the latest."""
    lost: str | None = None
    """Why it answers no more."""


@dataclass(frozen=True, slots=True)
class HeadLoad:
    """What the one thread that hands requests to all replicas, and passes their answers on, has
    done since they were loaded. Only time in which a request was open counts.
    """

    open_s: float
    """All of that time."""
    handing_s: float
    """Choosing who gets which request, and sending it."""
    passing_s: float
    """Taking in what replicas say, and making news of it."""
    telling_s: float
    """Until the process that submits requests had taken the news."""
    cpu_s: float
    """Processor time of the thread."""
    process_cpu_s: float
    """That of all threads of its process, which share one interpreter lock."""
    messages: int
    """From replicas and to them that it dealt with."""

    @property
    def busy_s(self) -> float:
        """With anything but waiting for a message."""
        return self.handing_s + self.passing_s + self.telling_s

    def since(self, before: HeadLoad) -> HeadLoad:
        """What was done from that moment to this one."""
        return HeadLoad(
            open_s=round(self.open_s - before.open_s, 6),
            handing_s=round(self.handing_s - before.handing_s, 6),
            passing_s=round(self.passing_s - before.passing_s, 6),
            telling_s=round(self.telling_s - before.telling_s, 6),
            cpu_s=round(self.cpu_s - before.cpu_s, 6),
            process_cpu_s=round(self.process_cpu_s - before.process_cpu_s, 6),
            messages=self.messages - before.messages,
        )


@dataclass(frozen=True, slots=True)
class ExecutorStats:
    """What the engine is doing now. A figure that an engine does not report is None."""

    active: int
    queued: int
    kv_blocks_used: int | None = None
    kv_blocks_total: int | None = None
    iteration_s: float | None = None
    """How long the latest iteration took."""
    prompt_tokens: int | None = None
    """Tokens of prompts that were read since the engine was loaded."""
    tokens: int | None = None
    """Tokens that were made since then, an answer's first one perhaps left out while it is open;
    None where each is told as it is made.
    """
    replicas: tuple[ReplicaLoad, ...] = ()
    """Of an executor that has some."""
    head: HeadLoad | None = None
    """Of what leads these."""


class Executor(Protocol):
    """An in-flight-batching engine."""

    @property
    def prefix_caching(self) -> bool:
        """Whether it is set to reuse what it computed for an earlier request."""
        ...

    def submit(self, requests: Sequence[Request]) -> None:
        """Queue requests. Thread-safe; never waits for inference. Ids must be unique among open
        requests.

        Raises EngineDied when the engine is gone.
        """
        ...

    def poll(self, timeout_s: float) -> list[Chunk]:
        """New chunks since the last poll, in order; [] when the engine reported none. Waits at most
        `timeout_s` seconds for it to report anything.

        Raises EngineDied, on every call, when the engine is gone and its last chunks were handed
        out.
        """
        ...

    def stats(self) -> ExecutorStats:
        """The latest figures that the engine reported; never waits for it."""
        ...

    def close(self) -> None:
        """Stop the engine and free its memory. Idempotent; leaves no process behind."""
        ...


@runtime_checkable
class Cancelling(Protocol):
    """An executor that can be told that an answer is not waited for any more."""

    def cancel(self, request_ids: Sequence[int]) -> None:
        """Give these requests up, if they are open. Each still ends in a finished chunk: soon, with
        an error, or when it is answered where the engine cannot stop it. Never waits.
        """
        ...


@runtime_checkable
class Timing(Protocol):
    """An executor with percentiles among its figures: no difference of two tells what lies between
    them.
    """

    def forget_times(self) -> None:
        """What was timed until now, as in a warm-up, is in no later percentile. Never waits."""
        ...


@runtime_checkable
class Foresighted(Protocol):
    """An executor that knows beforehand which requests its engine takes."""

    def unservable(self, request: Request) -> Unservable | None:
        """Why this request would fail, or None when it would not."""
        ...
