"""Sides that answer the same samples in turn, in a process of their own (`benchmarks/sides.py`)."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.engines import cpu_engine
from benchmarks.null_system import loadgen_order
from build_engine.errors import RunFailed
from build_engine.paths import cache_root
from harness.dataset.preparation import prepare
from harness.dataset.sources.bundled import NAME as BUNDLED
from harness.dataset.sources.source import Source
from harness.loadgen.folder import TestFolder
from harness.loadgen.job import Job, Probe
from harness.loadgen.messages import StartTest
from harness.rules.scenario import Scenario
from harness.rules.workload import load_workload
from harness.runs.scope import RunScope
from runtime.backend import engine_spec
from runtime.process import Child, Hangup

if TYPE_CHECKING:
    from build_engine.store.engine import Engine
    from harness.loadgen.settings import LoadgenPlan
    from harness.progress import Progress
    from runtime.spec import ExecutorSpec

_END_S = 20.0  # Ray takes some


@dataclass(frozen=True, slots=True)
class Side:
    """One way of answering: an executor, by LoadGen's Offline or by a bare loop. Sides of the same
    spec share one executor.
    """

    name: str
    executor: ExecutorSpec
    loadgen: bool = True


@dataclass(frozen=True, slots=True)
class Measure:
    """To the process: answer the samples of `order` on all sides, `repeats` times each."""

    job: Job
    sides: tuple[Side, ...]
    start: StartTest
    order: list[int]
    repeats: int


@dataclass(frozen=True, slots=True)
class Turn:
    """From the process: one side's rate, and the CPU time of the process meanwhile as a percentage
    of all CPUs.
    """

    side: str
    tokens_per_s: float
    cpu_percent: float


@dataclass(frozen=True, slots=True)
class Turns:
    """The bundled model's engine, and how many samples LoadGen asks it for in each turn."""

    engine: Engine
    job: Job
    plan: LoadgenPlan

    @classmethod
    def of(cls, recipe: str, count: int, progress: Progress) -> Turns:
        """For the engine of a recipe, which is built where the store does not have it."""
        engine = cpu_engine(BUNDLED, recipe, progress)
        workload = load_workload(BUNDLED)
        source = Source.find(BUNDLED)
        dataset = prepare(workload, source, engine.folder, cache_root(), count, progress)
        scope = RunScope(workload=workload, scenario=Scenario.OFFLINE, num_samples=count)
        job = Job(
            executor=engine_spec(engine),
            dataset=dataset.folder,
            num_samples=dataset.num_samples,
            max_new_tokens=workload.max_new_tokens,
            min_new_tokens=workload.min_new_tokens,
            stop_ids=engine.stop_ids,
            warmup_samples=1,
            first_tokens=Scenario.OFFLINE.has_first_tokens,
        )
        probe = Probe(load_s=0.0, latency_s=1.0, samples_per_s=1.0)
        return cls(engine, job, scope.plan("performance", probe))

    def take(self, sides: Sequence[Side], repeats: int) -> dict[str, list[Turn]]:
        """The turns of each side, in order. Raises RunFailed."""
        turns: dict[str, list[Turn]] = {side.name: [] for side in sides}
        with tempfile.TemporaryDirectory() as name:
            start = StartTest(self.plan, Path(name))
            conf = TestFolder(start.folder).user_conf
            conf.write_text(self.plan.user_conf, encoding="utf-8")
            order = loadgen_order(self.plan)
            child = Child("the measuring process", "benchmarks.sides")
            try:
                child.line.tell(Measure(self.job, tuple(sides), start, order, repeats))
                while True:
                    message = child.line.receive()
                    if isinstance(message, Turn):
                        turns[message.side].append(message)
            except Hangup:
                if child.wait(_END_S) != 0:
                    raise RunFailed(child.obituary()) from None
            finally:
                child.end(_END_S)
        return turns
