"""Record the fixture `full_length_tests.tar.xz`: performance tests that LoadGen calls VALID.

`python -m tests.harness.submission.record_tests FOLDER` takes eleven minutes and hardly any CPU:
answers of 128 tokens from the time model, at a rate that fills the 600 s of an official run. What
lies in the archive is what LoadGen 6.0.17 wrote, unchanged, with its user.conf.
"""

from __future__ import annotations

import sys
import tarfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from harness.loadgen.job import Probe
from harness.loadgen.settings import LoadgenPlan
from harness.loadgen.supervise import run_test
from harness.progress import NullProgress
from harness.rules.scenario import Scenario
from harness.rules.workload import load_workload
from harness.runs.scope import RunScope
from runtime.simulated import SimulatedSpec
from tests.harness.rehearsal import make_dataset, make_job

# workload, scenario, rate in LoadGen's plan, time model
_TESTS: tuple[tuple[str, Scenario, float, SimulatedSpec], ...] = (
    ("llama3.1-8b", Scenario.OFFLINE, 20, SimulatedSpec(samples_per_s=22, ttft_s=0.2, tpot_s=0.01)),
    ("llama3.1-8b", Scenario.SERVER, 21.8, SimulatedSpec(ttft_s=0.3, tpot_s=0.02)),
    ("llama3.1-8b", Scenario.INTERACTIVE, 21.8, SimulatedSpec(ttft_s=0.1, tpot_s=0.01)),
    (
        "llama3.1-8b-edge",
        Scenario.OFFLINE,
        7.5,
        SimulatedSpec(samples_per_s=8.2, ttft_s=0.2, tpot_s=0.01),
    ),
    ("llama3.1-8b-edge", Scenario.SINGLE_STREAM, 0, SimulatedSpec(ttft_s=0.03, tpot_s=0.0009)),
)
FILES = ("mlperf_log_detail.txt", "mlperf_log_summary.txt", "user.conf")


def record(top: Path, name: str, scenario: Scenario, qps: float, spec: SimulatedSpec) -> None:
    """One test, in `<top>/<workload>/<scenario>`."""
    workload = load_workload(name)
    folder = top / name / scenario
    folder.mkdir(parents=True)
    dataset = make_dataset(top / f"data-{name}-{scenario}", workload.num_samples)
    scope = RunScope(
        workload=workload, scenario=scenario, num_samples=workload.num_samples, qps=qps or None
    )

    def plan(probe: Probe) -> LoadgenPlan:
        planned = scope.plan("performance", probe)
        return replace(planned, expected_latency_s=0.25) if qps == 0 else planned

    outcome = run_test(make_job(dataset, spec), plan, folder, NullProgress())
    assert outcome.status == "complete", outcome.cause


def main() -> None:
    """All of them at once, then the archive beside this file."""
    top = Path(sys.argv[1])
    with ThreadPoolExecutor(len(_TESTS)) as pool:
        for future in [pool.submit(record, top, *test) for test in _TESTS]:
            future.result()
    archive = Path(__file__).parent / "fixtures" / "full_length_tests.tar.xz"
    with tarfile.open(archive, "w:xz", preset=9) as file:
        for name, scenario, *_ in _TESTS:
            for part in FILES:
                file.add(top / name / scenario / part, f"{name}/{scenario}/{part}")


if __name__ == "__main__":
    main()
