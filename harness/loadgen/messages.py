"""What the supervisor and LoadGen's process say to each other: news one way, orders the other."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from build_engine.errors import EXIT_FAILED
from harness.figures import ProgressFigures
from harness.loadgen.job import Probe
from harness.loadgen.settings import LoadgenPlan

AnswerRecord: TypeAlias = tuple[int, float, float, int]
"""Of a completed answer: sample index, TTFT (s), latency (s), number of tokens."""


@dataclass(frozen=True, slots=True)
class Ready:
    """News: the engine is loaded and warm; its answers had so many tokens on average."""

    probe: Probe
    answer_tokens: float


@dataclass(frozen=True, slots=True)
class Report:
    """News, twice a second while the test runs; `records` are the answers since the last."""

    figures: ProgressFigures
    records: tuple[AnswerRecord, ...] = ()


@dataclass(frozen=True, slots=True)
class Done:
    """The last news of a test that completed."""


@dataclass(frozen=True, slots=True)
class Failed:
    """The last news of a test that did not; `figures` where it had begun."""

    cause: str
    figures: ProgressFigures | None = None
    exit_code: int = EXIT_FAILED


@dataclass(frozen=True, slots=True)
class Stopped:
    """The last news of a test that was told to stop."""

    figures: ProgressFigures


@dataclass(frozen=True, slots=True)
class StartTest:
    """Order: the test to run, once the engine is warm."""

    plan: LoadgenPlan
    folder: Path
    """Where user.conf is and LoadGen's logs go."""
    audit_config: Path | None = None
    """A compliance test's audit.config."""


@dataclass(frozen=True, slots=True)
class Stop:
    """Order: keep what was measured, and end."""
