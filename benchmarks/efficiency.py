"""What the harness costs: tokens a second under LoadGen as a share of the bare executor's.

Both sides answer the same requests in the same order with the same engine, in the same layout (an
executor in a plain Python process, the engine in a child of it), turn by turn. LoadGen's side is
timed by LoadGen's own log, the bare side from its submission to its last token.
"""

from __future__ import annotations

import statistics
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.drive import Drive, drive
from benchmarks.engines import cpu_engine
from benchmarks.null_system import loadgen_order
from benchmarks.result import Figure, Result, ratios
from build_engine.digest import cache_root
from build_engine.errors import RunFailed
from harness.dataset import BUNDLED, Source, prepare
from harness.loadgen import logs
from harness.loadgen.job import Job
from harness.loadgen.settings import LoadgenPlan
from harness.loadgen.supervise import run_test
from harness.loadgen.worker import warm_up
from harness.planning import RunScope
from harness.progress import NullProgress
from harness.workload import load_workload
from runtime.executor import Request
from runtime.load import load
from runtime.spec import OpenVINOSpec

if TYPE_CHECKING:
    from build_engine.engine import Engine
    from harness.dataset import Dataset
    from harness.loadgen.job import Probe
    from harness.progress import Progress

GOAL = 0.98
_WARMUP_SAMPLES = 64


@dataclass(frozen=True, slots=True)
class _Sides:
    """One engine and one dataset, run under LoadGen and bare."""

    engine: Engine
    dataset: Dataset

    @property
    def job(self) -> Job:
        workload = load_workload(BUNDLED)
        return Job(
            executor=OpenVINOSpec(folder=self.engine.folder),
            dataset=self.dataset.folder,
            num_samples=self.dataset.num_samples,
            max_new_tokens=workload.max_new_tokens,
            min_new_tokens=workload.min_new_tokens,
            stop_ids=self.engine.stop_ids,
            warmup_samples=min(_WARMUP_SAMPLES, self.dataset.num_samples),
        )

    def plan(self, probe: Probe) -> LoadgenPlan:
        """Every sample once."""
        scope = RunScope(
            workload=load_workload(BUNDLED),
            scenario="Offline",
            num_samples=self.dataset.num_samples,
        )
        return scope.plan("performance", probe)

    def under_loadgen(self) -> tuple[float, LoadgenPlan]:
        """Tokens a second by LoadGen's log, and the plan that it ran."""
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            outcome = run_test(self.job, self.plan, folder, NullProgress())
            if outcome.status != "complete" or outcome.plan is None:
                raise RunFailed(f"the LoadGen side failed: {outcome.cause}")
            return logs.read_detail(folder).metrics()["tokens_per_s"], outcome.plan

    def bare(self, order: list[int]) -> Drive:
        """The same requests without LoadGen."""
        from harness.loadgen.sut import AnswerLimits

        job = self.job
        prompts = self.dataset.prompts()
        limits = AnswerLimits(job.max_new_tokens, job.min_new_tokens, job.stop_ids)
        requests = [
            Request(
                number,
                prompts[index],
                limits.max_new_tokens,
                limits.min_new_tokens,
                limits.stop_ids,
            )
            for number, index in enumerate(order)
        ]
        executor = load(job.executor)
        try:
            warm_up(executor, prompts, limits, job.warmup_samples)
            return drive(executor, requests)
        finally:
            executor.close()


def measure(recipe: str, count: int, repeats: int, progress: Progress) -> Result:
    """`repeats` pairs of `count` samples each."""
    engine = cpu_engine(BUNDLED, recipe, progress)
    source = Source.find(BUNDLED)
    workload = load_workload(BUNDLED)
    dataset = prepare(workload, source, engine.folder, cache_root(), count, progress)
    sides = _Sides(engine, dataset)
    loadgen: list[float] = []
    bare: list[Drive] = []
    order: list[int] = []
    for number in range(repeats):
        progress.phase(f"efficiency: pair {number + 1} of {repeats}")
        tokens_per_s, plan = sides.under_loadgen()
        order = order or loadgen_order(plan)
        loadgen.append(tokens_per_s)
        bare.append(sides.bare(order))
    bare_rates = [item.tokens_per_s for item in bare]
    details: dict[str, Any] = {
        "recipe": recipe,
        "num_samples": count,
        "bare_duration_s": [item.duration_s for item in bare],
        "bare_num_tokens": [item.num_tokens for item in bare],
    }
    duration_s = statistics.median(item.duration_s for item in bare)
    return Result(
        title="Harness efficiency (LoadGen Offline against the bare executor)",
        figures=(
            Figure("LoadGen / bare", "", ratios(loadgen, bare_rates), at_least=GOAL),
            Figure("under LoadGen", "tok/s", tuple(loadgen)),
            Figure("bare executor", "tok/s", tuple(bare_rates)),
        ),
        notes=(
            f"{BUNDLED} {recipe}, {count} samples once each in LoadGen's order, about "
            f"{duration_s:.0f} s a side, {repeats} pairs in turn",
        ),
        details=details,
    )
