"""`job.json`: what a LoadGen process loads before its test, and what it found while it did."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from build_engine.errors import UsageError
from build_engine.records import Record, read_record
from runtime.backend import AnySpec

STALL_S = 120.0


class Job(Record):
    """What one LoadGen process loads before its test."""

    SCHEMA: ClassVar[int] = 3

    schema_version: int = SCHEMA
    executor: AnySpec
    dataset: Path
    """Folder of a prepared dataset."""
    num_samples: int
    samples: tuple[int, ...] | None = None
    """The samples that LoadGen asks for, by their indices in the dataset, where it is not each of
    `num_samples` in order; one may be there several times.
    """
    max_new_tokens: int
    min_new_tokens: int
    stop_ids: tuple[int, ...]
    warmup_samples: int
    """Requests of the warm-up batch, which runs twice after one single request; fewer where that
    one was slow.
    """
    first_tokens: bool = True
    """Whether somebody waits for the first token of an answer."""
    stall_s: float = STALL_S
    """Seconds without any token, while queries are open, after which the engine counts as hung;
    at least ten times the latency of one request alone.
    """


def read_job(path: Path) -> Job:
    """The job in a file. Raises UsageError for one that is broken or of another version,
    FileNotFoundError for none.
    """
    remedy = "run again with a new --output"
    return read_record(path, Job, UsageError, remedy)


@dataclass(frozen=True, slots=True)
class Probe:
    """What loading and warming up showed: a first estimate for plans, not a result."""

    load_s: float
    """Seconds until the engine was ready."""
    latency_s: float
    """One request alone, from submission to its last token."""
    samples_per_s: float
    """Rate over the warm-up batch."""
    prefix_caching: bool = False
    """Whether the engine says that it reuses what it computed for an earlier query."""
