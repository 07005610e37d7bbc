"""What an executor and the process of its engine say to each other.

Requests and chunks cross as plain tuples, and the ids of all chunks of a step in one array: objects
and arrays of their own would cost more than all else that is sent.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from build_engine.errors import EnginebenchError, EnvironmentFault
from runtime.executor import Chunk, ExecutorStats, Request

if TYPE_CHECKING:
    from runtime.executor import TokenIds
    from runtime.spec import ExecutorSpec

RequestRow: TypeAlias = "tuple[int, TokenIds, int, int, tuple[int, ...], bool, bool]"
"""The fields of a `Request`, in order."""

ChunkRow: TypeAlias = tuple[int, int, bool, str | None]
"""A chunk without its ids: the request's id, the number of ids, finished, error."""


@dataclass(frozen=True, slots=True)
class Start:
    """To the engine, first of all: what to load."""

    spec: ExecutorSpec


@dataclass(frozen=True, slots=True)
class Work:
    """To the engine: requests to queue."""

    rows: list[RequestRow]

    @classmethod
    def of(cls, requests: Sequence[Request]) -> Work:
        """The message for these requests."""
        return cls(
            [
                (
                    r.id,
                    r.prompt_ids,
                    r.max_new_tokens,
                    r.min_new_tokens,
                    r.stop_ids,
                    r.ignore_eos,
                    r.streaming,
                )
                for r in requests
            ]
        )

    @property
    def requests(self) -> list[Request]:
        """The requests in it."""
        return [Request(*row) for row in self.rows]


@dataclass(frozen=True, slots=True)
class Cancel:
    """To the engine: nobody waits for these requests any more."""

    request_ids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Ready:
    """From the engine: it is loaded."""

    prefix_caching: bool


@dataclass(frozen=True, slots=True)
class Chunks:
    """From the engine: what a step made. `ids` are those of all rows, end to end, as int32."""

    rows: list[ChunkRow]
    ids: TokenIds
    stats: ExecutorStats

    @classmethod
    def of(cls, chunks: Sequence[Chunk], stats: ExecutorStats) -> Chunks:
        """The message for these chunks."""
        import numpy as np

        rows = [(c.id, len(c.token_ids), c.finished, c.error) for c in chunks]
        ids = [c.token_ids for c in chunks if len(c.token_ids)]
        return cls(rows, np.concatenate(ids) if ids else np.empty(0, np.int32), stats)

    @property
    def chunks(self) -> list[Chunk]:
        """The chunks in it, in order."""
        made = []
        start = 0
        for request_id, num_ids, finished, error in self.rows:
            made.append(Chunk(request_id, self.ids[start : start + num_ids], finished, error))
            start += num_ids
        return made

    def __reduce__(self) -> tuple[object, ...]:
        """Pickled flat: dataclasses in each other take twice the time, after every step."""
        now = self.stats
        stats = (
            now.active,
            now.queued,
            now.kv_blocks_used,
            now.kv_blocks_total,
            now.iteration_s,
            now.prompt_tokens,
            now.tokens,
            now.replicas,
            now.head,
        )
        return _chunks, (self.rows, self.ids, *stats)


def _chunks(rows: list[ChunkRow], ids: TokenIds, *stats: Any) -> Chunks:
    return Chunks(rows, ids, ExecutorStats(*stats))


@dataclass(frozen=True, slots=True)
class Fatal:
    """From the engine, last of all: why it cannot go on."""

    cause: str
    lacking: bool = False
    """Whether the machine lacks something, which matters where that is why it did not begin."""

    @classmethod
    def of(cls, error: EnginebenchError) -> Fatal:
        """The message for what was raised."""
        return cls(str(error), isinstance(error, EnvironmentFault))
