"""What to run: an engine, a part of a workload, and where the run goes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from harness.loadgen.job import STALL_S, Job
from harness.runs.marks import marks_of
from harness.runs.reading import Language

if TYPE_CHECKING:
    from build_engine.store.engine import Engine
    from harness.dataset.prepared import Dataset
    from harness.loadgen.settings import Mode
    from harness.runs.record import Mark
    from harness.runs.scope import RunScope
    from harness.runs.served import Served
    from harness.runs.simulated import SimulatedEngine
    from runtime.spec import ExecutorSpec


_IDLE_GRACE_S = 10.0  # for who gives up first, with the better cause


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRequest:
    """One run that can start. `engine` is None for an executor without one; `served` is what is
    known of servers in its place, and `simulated` what a time model stands for.
    """

    scope: RunScope
    modes: Sequence[Mode]
    dataset: Dataset
    engine: Engine | None
    served: Served | None = None
    simulated: SimulatedEngine | None = None
    executor: ExecutorSpec
    folder: Path
    repeat: int = 1
    """Times that the performance test is run."""
    command: str
    """What makes the same run on the command line, however it was asked for."""

    @property
    def marks(self) -> tuple[Mark, ...]:
        """What keeps this from being a benchmark result; shown wherever the run is."""
        engine = self.engine.manifest if self.engine else None
        return marks_of(self.scope, self.dataset.record, engine, self.executor, self.simulated)

    @property
    def language(self) -> Language | None:
        """What ids mean to the engine; None for an executor without one. Raises CheckpointError."""
        if self.served is not None:
            return self.served.language
        if self.engine is None or self.executor.engine_folder is None:
            return None
        return Language.of(self.engine)

    @property
    def tokenizer_folder(self) -> Path | None:
        """Where the tokenizer of the engine is; None for an executor without one."""
        if self.served is not None:
            return self.served.folder
        return self.engine.folder if self.engine else None

    @property
    def tests(self) -> Iterator[tuple[Mode, int]]:
        """Each test in turn, with its number among those of its mode."""
        for mode in self.modes:
            times = self.repeat if mode == "performance" else 1
            yield from ((mode, number) for number in range(1, times + 1))

    @property
    def job(self) -> Job:
        """What LoadGen's process loads for each of the tests."""
        workload = self.scope.workload
        warmup_samples = self.scope.warmup_samples * self.executor.num_replicas
        return Job(
            executor=self.executor,
            dataset=self.dataset.folder,
            num_samples=self.scope.num_samples,
            max_new_tokens=workload.max_new_tokens,
            min_new_tokens=workload.min_new_tokens,
            stop_ids=self._stop_ids,
            warmup_samples=min(warmup_samples, self.scope.num_samples),
            first_tokens=self.scope.scenario.has_first_tokens,
            stall_s=max(STALL_S, self.executor.idle_limit_s + _IDLE_GRACE_S),
        )

    @property
    def _stop_ids(self) -> tuple[int, ...]:
        if self.served is not None:
            return self.served.stop_ids
        return self.engine.stop_ids if self.engine else ()
