"""A result: one complete, unaltered run as comparisons and reports see it.

Figures are those of its record, which are LoadGen's; nothing is computed anew here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from build_engine.errors import ResultProblem, UsageError
from harness.runs.integrity import edits
from harness.runs.marks import named_plainly
from harness.runs.run import Run
from harness.runs.worth import told_first

if TYPE_CHECKING:
    from build_engine.store.manifest import EngineManifest
    from harness.loadgen.metrics import Metrics
    from harness.machine.facts import MachineFacts
    from harness.rules.scenario import Scenario
    from harness.runs.record import AccuracyRecord, Mark, RunRecord, TestRecord


@dataclass(frozen=True, slots=True)
class Result:
    """One complete run. `source` is the folder that the user named: its own, or one above it."""

    run: Run
    source: Path

    @classmethod
    def read(cls, folder: Path, source: Path | None = None) -> Result:
        """The result in a run folder.

        Raises UsageError where there is none, or a run that is not complete, and ResultProblem for
        one whose record or logs were changed after it.
        """
        run = Run.read(folder)
        status, cause = run.record.status, run.record.cause
        if status != "complete":
            why = f" ({cause.rstrip('.')})" if cause else ""
            raise UsageError(
                f"{folder} holds a run that is {status}{why}; only complete runs have a result, so "
                f"leave it out, or run it again."
            )
        changed = next(edits(run), None)
        if changed is not None:
            raise ResultProblem(f"{folder} was changed after the run: {changed}")
        return cls(run, source or folder)

    @property
    def folder(self) -> Path:
        """Where it lies."""
        return self.run.folder.path

    @property
    def name(self) -> str:
        """How messages call it: its folder's name."""
        return self.run.name

    @property
    def record(self) -> RunRecord:
        """All that was recorded."""
        return self.run.record

    @property
    def scenario(self) -> Scenario:
        return self.record.scenario

    @property
    def workload(self) -> str:
        """The workload's name."""
        return self.record.workload.name

    @property
    def engine(self) -> EngineManifest | None:
        """What the engine is; None for an executor without one."""
        return self.record.engine

    @property
    def recipe(self) -> str:
        """The recipe of the engine, what servers are called, or the name of another executor."""
        return self.record.recipe

    @property
    def called(self) -> str:
        """The recipe, and for what it was emulated or simulated if it was."""
        return named_plainly(self.recipe, self.target, self.marks)

    @property
    def target(self) -> str | None:
        """What the engine was built for, or simulated."""
        return self.record.target

    @property
    def model(self) -> str | None:
        """The checkpoint's name."""
        return self.record.model

    @property
    def engine_key(self) -> str | None:
        """The engine's key, 64 hex digits."""
        return self.engine.key if self.engine else None

    @property
    def size_bytes(self) -> int | None:
        """Bytes of the engine's files."""
        return self.engine.size_bytes if self.engine else None

    @property
    def marks(self) -> tuple[Mark, ...]:
        """What keeps it from being a benchmark result."""
        return self.record.marks

    @property
    def is_simulated(self) -> bool:
        """Whether a time model answered: neither its speed nor its text means anything."""
        return "simulated" in self.marks

    @property
    def is_emulated(self) -> bool:
        """Whether a GPU recipe's arithmetic was carried out elsewhere: it has an accuracy alone."""
        return "emulated" in self.marks

    @property
    def tests(self) -> tuple[TestRecord, ...]:
        """The performance tests, the run's own result first, and then its repeats."""
        return self.record.performance_tests

    @property
    def metrics(self) -> tuple[Metrics, ...]:
        """LoadGen's figures of each performance test."""
        return tuple(test.metrics for test in self.tests if test.metrics is not None)

    @property
    def accuracy(self) -> AccuracyRecord | None:
        """The score, and its gates."""
        return self.record.accuracy

    @property
    def machine(self) -> MachineFacts:
        return self.record.machine

    @property
    def versions(self) -> Mapping[str, str | None]:
        """Of each library that has a part in it."""
        return self.record.versions

    @property
    def started_utc(self) -> str:
        """ISO 8601, to the second."""
        return self.record.started_utc

    @property
    def busy(self) -> tuple[str, ...]:
        """What is said of each performance test that was measured beside other work."""
        loads = (test.load for test in self.tests)
        return tuple(load.busy for load in loads if load is not None and load.busy is not None)

    @property
    def peak_memory_bytes(self) -> int | None:
        """The most memory of the machine that the engine's processes held in any performance test;
        None where none says.
        """
        loads = (test.load for test in self.tests)
        peaks = [load.engine_peak_bytes for load in loads if load is not None]
        return max((peak for peak in peaks if peak is not None), default=None)

    @property
    def verdict(self) -> list[str]:
        """Lines on its first test that is not VALID, or else on its first."""
        tests = [*self.record.tests.begun.values(), *self.tests]
        return told_first([test.verdict for test in tests], self.marks)
