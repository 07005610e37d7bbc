"""A run without an engine, for tests: a tiny dataset, a simulated executor, and everything else
real.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import numpy as np

from harness.dataset.prepared import Dataset, publish
from harness.loadgen.job import Job, Probe
from harness.loadgen.settings import LoadgenPlan, Mode
from harness.progress import NullProgress
from harness.rules.scenario import Scenario
from harness.rules.workload import load_workload
from harness.runs.execution import execute
from harness.runs.request import RunRequest
from harness.runs.run import Run
from harness.runs.scope import RunScope
from runtime.simulated import SimulatedSpec
from runtime.spec import ExecutorSpec
from tests.harness.dataset.records import make_record

NUM_SAMPLES = 16


def make_dataset(folder: Path, count: int = NUM_SAMPLES) -> Dataset:
    """`count` prompts of 5 to 20 ids."""
    prompts = [np.arange(5 + i % 16, dtype=np.int32) for i in range(count)]
    references = [f"Reference {i}." for i in range(count)]
    return publish(folder, prompts, references, make_record(count))


def make_job(dataset: Dataset, spec: ExecutorSpec | None = None, *, stall_s: float = 120.0) -> Job:
    """The job of a LoadGen process, over a simulated executor if no other."""
    return Job(
        executor=spec or SimulatedSpec(),
        dataset=dataset.folder,
        num_samples=dataset.num_samples,
        max_new_tokens=128,
        min_new_tokens=1,
        stop_ids=(2,),
        warmup_samples=2,
        stall_s=stall_s,
    )


def make_plan(
    scenario: Scenario = Scenario.OFFLINE,
    mode: Mode = "performance",
    *,
    num_samples: int = NUM_SAMPLES,
    qps: float = 100.0,
) -> LoadgenPlan:
    """A trial over every sample once, as `RunScope` plans it."""
    scope = make_scope(scenario, num_samples, qps)
    return scope.plan(mode, Probe(load_s=0.1, latency_s=0.01, samples_per_s=qps))


def make_scope(
    scenario: Scenario, num_samples: int = NUM_SAMPLES, qps: float | None = None
) -> RunScope:
    """A part of the bundled workload."""
    return RunScope(
        workload=load_workload("newsbrief"), scenario=scenario, num_samples=num_samples, qps=qps
    )


def make_request(
    folder: Path,
    scenario: Scenario = Scenario.OFFLINE,
    modes: tuple[Mode, ...] = ("performance",),
    spec: SimulatedSpec | None = None,
    count: int = NUM_SAMPLES,
    repeat: int = 1,
) -> RunRequest:
    """A whole run that goes to `folder/run`."""
    return RunRequest(
        scope=make_scope(scenario, count, qps=100.0),
        modes=modes,
        dataset=make_dataset(folder / "dataset", count),
        engine=None,
        executor=spec or SimulatedSpec(),
        folder=folder / "run",
        repeat=repeat,
        command="enginebench run --model newsbrief --recipe bf16 --scenario Offline --output run",
    )


def rehearse(
    folder: Path,
    scenario: Scenario = Scenario.OFFLINE,
    modes: tuple[Mode, ...] = ("performance",),
    spec: SimulatedSpec | None = None,
    count: int = NUM_SAMPLES,
) -> Run:
    """A whole run in `folder/run`."""
    return execute(make_request(folder, scenario, modes, spec, count), NullProgress())


def rehearse_elsewhere(folder: Path) -> subprocess.Popen[bytes]:
    """A run in `folder/run` that takes minutes, in a process of its own, to be ended early."""
    return subprocess.Popen(
        [sys.executable, "-m", "tests.harness.rehearsal", str(folder), "4000"],
        cwd=Path(__file__).parents[2],
    )


def worker_pids(folder: Path) -> list[int]:
    """The LoadGen process of the test in `folder`."""
    return [
        int(entry.name)
        for entry in Path("/proc").iterdir()
        if entry.name.isdigit() and str(folder / "job.json") in _command(entry)
    ]


def _command(entry: Path) -> str:
    try:
        return (entry / "cmdline").read_bytes().decode()
    except OSError:
        return ""


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as the command does
    slow = SimulatedSpec(samples_per_s=20.0, ttft_s=0.05, tpot_s=0.001)
    sys.exit(rehearse(Path(sys.argv[1]), spec=slow, count=int(sys.argv[2])).exit_code)
