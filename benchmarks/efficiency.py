"""What the harness costs: tokens a second under LoadGen as a share of the bare executor's.

Both sides answer the same requests in the same order with the same engine, in the same layout (an
executor in a plain Python process, the engine in a child of it). They take turns, in the order A B,
B A, A B, so that a machine that gets slower or faster favours neither. LoadGen's side is timed by
LoadGen's own log, the bare side from its submission to its last token.

A second account does not depend on a quiet machine: the CPU time of the process that holds the
executor, which on a CPU target is taken from the engine.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.drive import drive
from benchmarks.engines import cpu_engine
from benchmarks.null_system import loadgen_order
from benchmarks.result import Figure, Result, ratios
from build_engine.errors import RunFailed
from build_engine.paths import cache_root
from harness.dataset import BUNDLED, Source, prepare
from harness.loadgen import logs
from harness.loadgen.job import Job, Probe
from harness.loadgen.settings import LoadgenPlan
from harness.loadgen.supervise import run_test
from harness.loadgen.sut import AnswerLimits
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
    from harness.progress import Progress

GOAL = 0.98
COST_GOAL = 100 * (1 - GOAL)
_WARMUP_SAMPLES = 64


@dataclass(frozen=True, slots=True)
class _Turn:
    """One side, once: its rate, and the CPU time of the process that holds the executor as a
    percentage of all CPUs.
    """

    tokens_per_s: float
    cpu_percent: float


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

    @property
    def plan(self) -> LoadgenPlan:
        """Every sample once, whatever the warm-up says."""
        scope = RunScope(
            workload=load_workload(BUNDLED),
            scenario="Offline",
            num_samples=self.dataset.num_samples,
        )
        return scope.plan("performance", Probe(load_s=0.0, latency_s=1.0, samples_per_s=1.0))

    def under_loadgen(self) -> _Turn:
        """The rate by LoadGen's log."""
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            watch = _CpuWatch(str(folder / "job.json"))
            outcome = run_test(
                self.job, lambda probe: self.plan, folder, NullProgress(), on_figures=watch.look
            )
            if outcome.status != "complete":
                raise RunFailed(f"the LoadGen side failed: {outcome.cause}")
            return _Turn(logs.read_detail(folder).metrics()["tokens_per_s"], watch.cpu_percent)

    def bare(self, order: list[int]) -> _Turn:
        """The same requests without LoadGen."""
        job = self.job
        prompts = self.dataset.prompts()
        limits = AnswerLimits(job.max_new_tokens, job.min_new_tokens, job.stop_ids)
        requests = [
            Request(number, prompts[index], job.max_new_tokens, job.min_new_tokens, job.stop_ids)
            for number, index in enumerate(order)
        ]
        executor = load(job.executor)
        try:
            warm_up(executor, prompts, limits, job.warmup_samples)
            before_s = time.process_time()
            done = drive(executor, requests)
            cpu_s = time.process_time() - before_s
        finally:
            executor.close()
        return _Turn(done.tokens_per_s, 100 * cpu_s / done.duration_s / _num_cpus())


class _CpuWatch:
    """CPU time of the process whose command line holds `mark`, between the first and the last look
    at it.
    """

    def __init__(self, mark: str) -> None:
        self._mark = mark
        self._pid: int | None = None
        self._looks: list[tuple[float, float]] = []  # time and CPU time, in seconds

    def look(self, _figures: dict[str, Any]) -> None:
        """Take a reading: called with each of the test's progress reports."""
        self._pid = self._pid or _pid_of(self._mark)
        try:
            fields = Path(f"/proc/{self._pid}/stat").read_text(encoding="utf-8").rsplit(") ", 1)
        except OSError:
            return  # with the last report the process may have ended
        user, system = fields[1].split()[11:13]
        cpu_s = (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")
        self._looks.append((time.perf_counter(), cpu_s))

    @property
    def cpu_percent(self) -> float:
        """Of all CPUs. Raises RunFailed where there were too few looks."""
        if len(self._looks) < 2:
            raise RunFailed("the test was too short to tell its CPU time; give more --samples")
        (first_s, first_cpu_s), *_, (last_s, last_cpu_s) = self._looks
        return 100 * (last_cpu_s - first_cpu_s) / (last_s - first_s) / _num_cpus()


def measure(recipe: str, count: int, repeats: int, progress: Progress) -> Result:
    """`repeats` pairs of `count` samples each."""
    engine = cpu_engine(BUNDLED, recipe, progress)
    source = Source.find(BUNDLED)
    workload = load_workload(BUNDLED)
    dataset = prepare(workload, source, engine.folder, cache_root(), count, progress)
    sides = _Sides(engine, dataset)
    order = loadgen_order(sides.plan)
    loadgen: list[_Turn] = []
    bare: list[_Turn] = []
    for number in range(repeats):
        progress.phase(f"efficiency: pair {number + 1} of {repeats}")
        if number % 2:
            bare.append(sides.bare(order))
            loadgen.append(sides.under_loadgen())
        else:
            loadgen.append(sides.under_loadgen())
            bare.append(sides.bare(order))
    rates = [turn.tokens_per_s for turn in loadgen]
    bare_rates = [turn.tokens_per_s for turn in bare]
    costs = [a.cpu_percent - b.cpu_percent for a, b in zip(loadgen, bare, strict=True)]
    return Result(
        title="Harness efficiency (LoadGen Offline against the bare executor)",
        figures=(
            Figure("LoadGen / bare", "", ratios(rates, bare_rates), at_least=GOAL),
            Figure("under LoadGen", "tok/s", tuple(rates)),
            Figure("bare executor", "tok/s", tuple(bare_rates)),
            Figure("CPU of the LoadGen process", "% of all", tuple(t.cpu_percent for t in loadgen)),
            Figure("CPU of the bare process", "% of all", tuple(t.cpu_percent for t in bare)),
            Figure("harness cost by CPU time", "% of all", tuple(costs), at_most=COST_GOAL),
        ),
        notes=(
            f"{BUNDLED} {recipe}, {count} samples once each in LoadGen's order, {repeats} pairs in "
            "turn",
        ),
        details={"recipe": recipe, "num_samples": count},
    )


def _pid_of(mark: str) -> int | None:
    """The process whose command line holds `mark`."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                if mark in (entry / "cmdline").read_bytes().decode(errors="replace"):
                    return int(entry.name)
    return None


def _num_cpus() -> int:
    return len(os.sched_getaffinity(0))
