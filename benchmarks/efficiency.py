"""What the harness costs: tokens a second under LoadGen as a share of the bare executor's.

Both sides answer the same requests in the same order with the same loaded engine in one process
(`benchmarks/both_sides.py`), and take turns, in the order A B, B A, A B, so that a machine that
gets slower or faster favours neither. LoadGen's side is timed by LoadGen's own log, the bare side
from its submission to its last token.

A second account does not depend on a quiet machine: the CPU time of that process, which on a CPU
target is taken from the engine.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.engines import cpu_engine
from benchmarks.null_system import loadgen_order
from benchmarks.result import Figure, Result, ratios
from benchmarks.turns import Measure, Side, Turn
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
    from harness.dataset.prepared import Dataset
    from harness.loadgen.settings import LoadgenPlan
    from harness.progress import Progress

GOAL = 0.98
COST_GOAL = 100 * (1 - GOAL)
_END_S = 10.0


def measure(recipe: str, count: int, repeats: int, progress: Progress) -> Result:
    """`repeats` pairs of `count` samples each."""
    engine = cpu_engine(BUNDLED, recipe, progress)
    workload = load_workload(BUNDLED)
    source = Source.find(BUNDLED)
    dataset = prepare(workload, source, engine.folder, cache_root(), count, progress)
    scope = RunScope(workload=workload, scenario=Scenario.OFFLINE, num_samples=count)
    plan = scope.plan("performance", Probe(load_s=0.0, latency_s=1.0, samples_per_s=1.0))
    progress.phase(f"efficiency: {repeats} pairs of {count} samples")
    turns = _turns(_job(engine, dataset), plan, repeats)
    rates = {side: [turn.tokens_per_s for turn in told] for side, told in turns.items()}
    costs = {side: [turn.cpu_percent for turn in told] for side, told in turns.items()}
    added = [a - b for a, b in zip(costs["loadgen"], costs["bare"], strict=True)]
    return Result(
        title="Harness efficiency (LoadGen Offline against the bare executor)",
        figures=(
            Figure("LoadGen / bare", "", ratios(rates["loadgen"], rates["bare"]), at_least=GOAL),
            Figure("under LoadGen", "tok/s", tuple(rates["loadgen"])),
            Figure("bare executor", "tok/s", tuple(rates["bare"])),
            Figure("CPU of the process, LoadGen", "% of all", tuple(costs["loadgen"])),
            Figure("CPU of the process, bare", "% of all", tuple(costs["bare"])),
            Figure("harness cost by CPU time", "% of all", tuple(added), at_most=COST_GOAL),
        ),
        notes=(
            f"{BUNDLED} {recipe}, {count} samples once each in LoadGen's order, {repeats} pairs in "
            "turn on one loaded engine, after a pass that does not count",
        ),
        details={"recipe": recipe, "num_samples": count},
    )


def _job(engine: Engine, dataset: Dataset) -> Job:
    workload = load_workload(BUNDLED)
    return Job(
        executor=engine_spec(engine),
        dataset=dataset.folder,
        num_samples=dataset.num_samples,
        max_new_tokens=workload.max_new_tokens,
        min_new_tokens=workload.min_new_tokens,
        stop_ids=engine.stop_ids,
        warmup_samples=1,
    )


def _turns(job: Job, plan: LoadgenPlan, repeats: int) -> dict[Side, list[Turn]]:
    """The turns of each side, in order. Raises RunFailed."""
    turns: dict[Side, list[Turn]] = {"loadgen": [], "bare": []}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        TestFolder(folder).user_conf.write_text(plan.user_conf, encoding="utf-8")
        child = Child("the measuring process", "benchmarks.both_sides")
        try:
            order = loadgen_order(plan)
            child.line.tell(Measure(job, StartTest(plan, folder), order, repeats))
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
