"""How much the harness could carry: LoadGen with an engine that answers at once.

What LoadGen then sees as latency is what the harness adds to every query. Token latencies are on,
as in every run of this project, and each answer has 128 ids; in Offline it is asked for whole.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks import under_loadgen
from benchmarks.noise import StolenTime
from benchmarks.null_system import null_test
from benchmarks.result import Figure, Result
from build_engine.errors import RunFailed
from harness.dataset.prompts import save_prompts
from harness.loadgen import logs
from harness.loadgen.job import Job
from harness.rules.scenario import Scenario
from runtime.simulated import SimulatedSpec

if TYPE_CHECKING:
    from harness.loadgen.settings import LoadgenPlan
    from harness.progress import Progress

OFFLINE_GOAL = 50_000.0
SERVER_GOAL = 10_000.0
P99_GOAL_MS = 1.0
_DATASET_SAMPLES = 13_368
_PROMPT_TOKENS = 256
_ANSWER_TOKENS = 128
_KEPT_UP = 0.99  # of the asked rate: what ends later than asked has queued


@dataclass(frozen=True, slots=True)
class Load:
    """How much is asked: Offline samples, and a Server rate for some seconds."""

    offline_samples: int = 200_000
    server_qps: float = SERVER_GOAL
    server_s: float = 6.0


def measure(load: Load, repeats: int, progress: Progress) -> Result:
    """`repeats` tests of each scenario, each Server test beside one of LoadGen alone."""
    offline: list[float] = []
    server: list[dict[str, float]] = []
    alone: list[dict[str, float]] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        dataset = folder / "dataset"
        dataset.mkdir()
        save_dataset(dataset)
        for number in range(repeats):
            progress.phase(f"ceiling: test {number + 1} of {repeats} of each scenario")
            test = _run(dataset, _plan(Scenario.OFFLINE, load), folder / f"offline-{number}")
            offline.append(float(test["result_samples_per_second"]))
            plan = _plan(Scenario.SERVER, load)
            stolen = StolenTime()
            test = _run(dataset, plan, folder / f"server-{number}")
            server.append(_server_figures(test) | {"stolen_share": stolen.share()})
            stolen = StolenTime()
            test = null_test(plan, folder / f"alone-{number}", _ANSWER_TOKENS)
            alone.append(_server_figures(test) | {"stolen_share": stolen.share()})
    return Result(
        title="Harness ceiling (an engine that answers at once)",
        figures=(
            Figure("Offline", "samples/s", tuple(offline), at_least=OFFLINE_GOAL),
            Figure(
                f"Server asked for {load.server_qps:,.0f}",
                "queries/s",
                _column(server, "qps"),
                at_least=_KEPT_UP * load.server_qps,
            ),
            *_latencies("Server, added", server, P99_GOAL_MS),
            *_latencies("LoadGen alone,", alone, None),
        ),
        notes=(
            f"{load.offline_samples:,} Offline samples; Server for {load.server_s:.0f} s; "
            f"{_ANSWER_TOKENS} ids an answer; token latencies on; figures from LoadGen's log",
            "LoadGen alone: its callback answers at once, without harness or second thread: what "
            "this machine gives at best",
            "CPU time that the host took away during each Server test: "
            + ", ".join(f"{100 * share:.1f} %" for share in _column(server, "stolen_share")),
        ),
        details={"server": server, "loadgen_alone": alone},
    )


def _latencies(
    title: str, tests: list[dict[str, float]], p99_goal_ms: float | None
) -> tuple[Figure, ...]:
    return tuple(
        Figure(
            f"{title} {kind} p{percentile}",
            "ms",
            _column(tests, f"{kind}_p{percentile}"),
            at_most=p99_goal_ms if percentile == "99" else None,
        )
        for kind in ("TTFT", "latency")
        for percentile in ("50", "99", "99.9")
    )


def _column(tests: list[dict[str, float]], key: str) -> tuple[float, ...]:
    return tuple(test[key] for test in tests)


def save_dataset(folder: Path) -> None:
    """Prompts that are all the same, of a dataset's number, in `folder`."""
    import numpy as np

    prompt = np.arange(_PROMPT_TOKENS, dtype=np.int32)
    save_prompts(folder, [prompt] * _DATASET_SAMPLES)


def _plan(scenario: Scenario, load: Load) -> LoadgenPlan:
    server = scenario.has_rate
    if not server:
        return under_loadgen.plan(scenario, _DATASET_SAMPLES, load.offline_samples)
    return under_loadgen.plan(scenario, _DATASET_SAMPLES, 1, load.server_s, load.server_qps)


def _run(dataset: Path, asked: LoadgenPlan, folder: Path) -> dict[str, Any]:
    """The detail log's values of one complete test."""
    job = Job(
        executor=SimulatedSpec(num_tokens=_ANSWER_TOKENS),
        dataset=dataset,
        num_samples=asked.num_samples,
        max_new_tokens=_ANSWER_TOKENS,
        min_new_tokens=1,
        stop_ids=(2,),
        warmup_samples=64,
        first_tokens=asked.scenario.has_first_tokens,
    )
    under_loadgen.run(job, asked, folder)
    detail = logs.read_detail(folder)
    if detail.errors:
        raise RunFailed(f"LoadGen reported an error: {detail.errors[0]}")
    return dict(detail.values)


def _server_figures(values: dict[str, Any]) -> dict[str, float]:
    figures = {"qps": float(values["result_completed_samples_per_sec"])}
    for kind, prefix in (("TTFT", "result_first_token"), ("latency", "result")):
        for percentile in ("50", "99", "99.9"):
            key = f"{prefix}_{float(percentile):.2f}_percentile_latency_ns"
            figures[f"{kind}_p{percentile}"] = float(values[key]) / 1e6
    return figures
