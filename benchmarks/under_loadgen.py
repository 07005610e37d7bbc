"""A LoadGen test of a benchmark: its plan, and a run to its end."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from build_engine.errors import RunFailed
from harness.loadgen.settings import LoadgenPlan
from harness.loadgen.supervise import run_test
from harness.progress import NullProgress

if TYPE_CHECKING:
    from harness.loadgen.job import Job
    from harness.rules.scenario import Scenario


def plan(
    scenario: Scenario, num_samples: int, queries: int, duration_s: float = 0.0, qps: float = 1.0
) -> LoadgenPlan:
    """At least so many queries and seconds; limits that nothing here is held against."""
    return LoadgenPlan(
        scenario=scenario,
        mode="performance",
        model="newsbrief",
        num_samples=num_samples,
        min_duration_s=duration_s,
        min_query_count=queries,
        target_qps=qps,
        ttft_ms=2000.0,
        tpot_ms=100.0,
    )


def run(job: Job, asked: LoadgenPlan, folder: Path) -> None:
    """One test in the new `folder`. Raises RunFailed unless it is complete."""
    folder.mkdir()
    outcome = run_test(job, lambda probe: asked, folder, NullProgress())
    if outcome.status != "complete":
        raise RunFailed(f"the {asked.scenario} test failed: {outcome.cause}")
