"""`replicas.json`: what each replica of an engine, and their head, did in one LoadGen test."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import ClassVar

from build_engine.errors import UsageError
from build_engine.files import write_json
from build_engine.records import Record, read_record
from build_engine.validation import Grown
from runtime.executor import ExecutorStats, HeadLoad, ReplicaLoad


class ReplicaLoads(Grown, Record):
    """The content of `replicas.json`."""

    SCHEMA: ClassVar[int] = 1
    LATER = ("head",)

    schema_version: int = SCHEMA
    replicas: tuple[ReplicaLoad, ...]
    head: HeadLoad | None = None

    @classmethod
    def between(cls, before: ExecutorStats, after: ExecutorStats) -> ReplicaLoads:
        """What was done from one moment to another."""
        head = after.head
        if head is not None and before.head is not None:
            head = head.since(before.head)
        return cls(replicas=tuple(map(_since, before.replicas, after.replicas)), head=head)

    @property
    def dispatch_p99_s(self) -> float | None:
        """Of the replica that took longest to be handed its requests."""
        known = [load.dispatch_p99_s for load in self.replicas if load.dispatch_p99_s is not None]
        return max(known, default=None)

    def write(self, path: Path) -> None:
        """Write the file. Raises OSError."""
        write_json(path, self.to_json())


def read_replicas(path: Path) -> ReplicaLoads:
    """What a test left. Raises UsageError for a file that is broken, FileNotFoundError for none."""
    return read_record(path, ReplicaLoads, UsageError, "run again with a new --output")


def _since(before: ReplicaLoad, after: ReplicaLoad) -> ReplicaLoad:
    return replace(
        after,
        requests=after.requests - before.requests,
        prompt_tokens=after.prompt_tokens - before.prompt_tokens,
        tokens=after.tokens - before.tokens,
        busy_s=round(after.busy_s - before.busy_s, 3),
    )
