"""What the harness costs: tokens a second under LoadGen as a share of the bare executor's.

Both sides answer the same requests in the same order with the same loaded engine in one process
(`benchmarks/both_sides.py`), and take turns, in the order A B, B A, A B, so that a machine that
gets slower or faster favours neither. LoadGen's side is timed by LoadGen's own log, the bare side
from its submission to its last token.

A second account does not depend on a quiet machine: the CPU time of that process, which on a CPU
target is taken from the engine.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.engines import cpu_engine
from benchmarks.null_system import loadgen_order
from benchmarks.result import Figure, Result, ratios
from build_engine.errors import RunFailed
from build_engine.paths import cache_root
from harness.dataset.prepared import BUNDLED, Source, prepare
from harness.loadgen.job import Job, Probe, StartTest
from harness.rules.scenario import Scenario
from harness.rules.workload import load_workload
from harness.runs.scope import RunScope
from runtime.spec import OpenVINOSpec

if TYPE_CHECKING:
    from build_engine.store.engine import Engine
    from harness.dataset.prepared import Dataset
    from harness.loadgen.settings import LoadgenPlan
    from harness.progress import Progress

GOAL = 0.98
COST_GOAL = 100 * (1 - GOAL)


def measure(recipe: str, count: int, repeats: int, progress: Progress) -> Result:
    """`repeats` pairs of `count` samples each."""
    engine = cpu_engine(BUNDLED, recipe, progress)
    workload = load_workload(BUNDLED)
    source = Source.find(BUNDLED)
    dataset = prepare(workload, source, engine.folder, cache_root(), count, progress)
    scope = RunScope(workload=workload, scenario=Scenario.OFFLINE, num_samples=count)
    plan = scope.plan("performance", Probe(load_s=0.0, latency_s=1.0, samples_per_s=1.0))
    progress.phase(f"efficiency: {repeats} pairs of {count} samples")
    rates, costs = _turns(_job(engine, dataset), plan, repeats)
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
        executor=OpenVINOSpec(folder=engine.folder),
        dataset=dataset.folder,
        num_samples=dataset.num_samples,
        max_new_tokens=workload.max_new_tokens,
        min_new_tokens=workload.min_new_tokens,
        stop_ids=engine.stop_ids,
        warmup_samples=1,
    )


def _turns(
    job: Job, plan: LoadgenPlan, repeats: int
) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
    """Tokens a second, and percentages of CPU time, of each turn by side. Raises RunFailed."""
    rates: dict[str, list[float]] = {"loadgen": [], "bare": []}
    costs: dict[str, list[float]] = {"loadgen": [], "bare": []}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "user.conf").write_text(plan.user_conf, encoding="utf-8")
        (folder / "job.json").write_text(job.to_json(), encoding="utf-8")
        (folder / "start.json").write_text(StartTest(plan, folder).to_json(), encoding="utf-8")
        (folder / "order.json").write_text(json.dumps(loadgen_order(plan)), encoding="utf-8")
        command = [sys.executable, "-m", "benchmarks.both_sides", name, str(repeats)]
        # Standard input stays open: its end would stop the tests.
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None
            for line in process.stdout:
                message = json.loads(line)
                if message["kind"] == "turn":
                    rates[message["side"]].append(message["tokens_per_s"])
                    costs[message["side"]].append(message["cpu_percent"])
    if process.returncode != 0:
        raise RunFailed(f"the measuring process ended with exit code {process.returncode}")
    return rates, costs
