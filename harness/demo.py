"""The demo: three engines of the bundled model, benchmarked in short form, side by side.

Each run lies under the digest of its inputs. A demo that is started again takes up the runs that
are complete, so an interrupted one goes on where it was, and a finished one shows its table at
once.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from build_engine.errors import Interrupted, RunFailed, UsageError
from build_engine.files import check_writable
from build_engine.paths import cache_root
from build_engine.validation import Frozen
from harness.dataset.preparation import prepare
from harness.dataset.sources.bundled import NAME as BUNDLED
from harness.dataset.sources.source import Source
from harness.loadgen.installed import require_loadgen
from harness.loadgen.metrics import Metrics
from harness.machine.facts import library_versions
from harness.rules.scenario import Scenario
from harness.rules.workload import load_workload
from harness.runs.choice import RunChoice
from harness.runs.engine_choice import EngineChoice
from harness.runs.execution import execute
from harness.runs.record import TestRecord
from harness.runs.request import RunRequest
from harness.runs.run import Run
from harness.runs.scope import RunScope
from harness.scoring.accuracy import Accuracy
from runtime.backend import engine_spec

if TYPE_CHECKING:
    from build_engine.store.engine import Engine
    from harness.dataset.prepared import Dataset
    from harness.loadgen.settings import Mode
    from harness.progress import Progress
    from harness.rules.rounds import Round

RECIPES = ("bf16", "int8_wo", "int4_wo")
NUM_SAMPLES = 128
NUM_LATENCY_SAMPLES = 64  # the fewest from which LoadGen estimates a p90
_SHARE_OF_OFFLINE = 0.5  # the Server rate: what the first recipe holds with ease, the same for all


class Latencies(Frozen):
    """Seconds at p50 and p99 of a scenario; None where LoadGen gives none."""

    ttft_p50_s: float | None
    ttft_p99_s: float | None
    tpot_p50_s: float | None
    tpot_p99_s: float | None

    @classmethod
    def of(cls, metrics: Metrics) -> Latencies:
        """Those of a test."""
        return cls(**{name: getattr(metrics, name) for name in cls.model_fields})


class DemoRow(Frozen):
    """What the table shows of one recipe; ROUGE in percent."""

    recipe: str
    size_bytes: int
    samples_per_s: float
    tokens_per_s: float
    server: Latencies
    single_stream: Latencies
    accuracy: Accuracy
    num_latency_samples: int
    verdicts: dict[Scenario, str]
    runs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class DemoRuns:
    """One recipe's engine and its runs, all of them complete."""

    engine: Engine
    offline: Run
    server: Run
    single_stream: Run

    @property
    def row(self) -> DemoRow:
        """What the table shows."""
        runs = (self.offline, self.server, self.single_stream)
        offline, accuracy = _metrics(self.offline), self.offline.record.accuracy
        assert offline.samples_per_s is not None and offline.tokens_per_s is not None
        assert accuracy is not None, "Offline is scored"
        return DemoRow(
            recipe=self.engine.recipe,
            size_bytes=self.engine.size_bytes,
            samples_per_s=offline.samples_per_s,
            tokens_per_s=offline.tokens_per_s,
            server=Latencies.of(_metrics(self.server)),
            single_stream=Latencies.of(_metrics(self.single_stream)),
            accuracy=accuracy.scores,
            num_latency_samples=self.server.record.num_samples,
            verdicts={run.record.scenario: _performance(run).verdict.sentence for run in runs},
            runs=tuple(str(run.folder.path) for run in runs),
        )


def run_demo(
    folder: Path,
    progress: Progress,
    *,
    fresh: bool,
    chosen: Round,
    num_samples: int = NUM_SAMPLES,
    num_latency_samples: int = NUM_LATENCY_SAMPLES,
) -> list[DemoRuns]:
    """Build, run and score, in the order of RECIPES.

    Offline runs over `num_samples`, Server and SingleStream over `num_latency_samples`.

    Raises OutputError and EnvironmentFault (a LoadGen of another round than `chosen`) before
    anything is built, Interrupted and RunFailed with the cause when a run does not complete; what
    is complete stays.
    """
    check_writable(folder)
    require_loadgen(chosen)
    workload = load_workload(BUNDLED)
    engines: list[Engine] = []
    for recipe in RECIPES:
        choice = EngineChoice(model=BUNDLED, target="cpu", recipe=recipe)
        engines.append(choice.build(workload, progress))
    source = Source.find(BUNDLED)
    datasets = {
        count: prepare(workload, source, engines[0].folder, cache_root(), count, progress)
        for count in (num_samples, num_latency_samples)
    }
    demo = _Demo(folder, datasets, chosen, progress, fresh)
    both: Sequence[Mode] = ("performance", "accuracy")
    rows: list[DemoRuns] = []
    server_qps: float | None = None
    for engine in engines:
        offline = demo.run(engine, Scenario.OFFLINE, both, num_samples)
        if server_qps is None:
            rate = _metrics(offline).samples_per_s or 1.0
            server_qps = float(f"{rate * _SHARE_OF_OFFLINE:.2g}")
        server = demo.run(engine, Scenario.SERVER, both[:1], num_latency_samples, server_qps)
        single = demo.run(engine, Scenario.SINGLE_STREAM, both[:1], num_latency_samples)
        rows.append(DemoRuns(engine, offline, server, single))
    return rows


@dataclass(frozen=True, slots=True)
class _Demo:
    """Where the demo's runs lie, and what they run on."""

    folder: Path
    datasets: dict[int, Dataset]
    round: Round
    progress: Progress
    fresh: bool

    def run(
        self,
        engine: Engine,
        scenario: Scenario,
        modes: Sequence[Mode],
        count: int,
        qps: float | None = None,
    ) -> Run:
        """The complete run of these inputs: an earlier one, or one made now."""
        dataset = self.datasets[count]
        inputs = [engine.key, scenario, list(modes), dataset.digest, qps, library_versions()]
        digest = hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()[:12]
        folder = self.folder / f"{engine.recipe}-{scenario.lower()}-{digest}"
        earlier = self._earlier(folder)
        if earlier is not None:
            started = earlier.record.started_utc
            self.progress.note(f"{engine.recipe} {scenario}: measured {started}")
            return earlier
        self.progress.phase(f"Run {engine.recipe}")
        choice = RunChoice(
            scenario=scenario,
            output=folder,
            mode="both" if len(modes) > 1 else modes[0],
            count=count,
            qps=qps,
            round=self.round.name,
        )
        request = RunRequest(
            scope=RunScope(
                workload=load_workload(BUNDLED),
                scenario=scenario,
                num_samples=count,
                qps=qps,
                round=self.round,
            ),
            modes=modes,
            dataset=dataset,
            engine=engine,
            executor=engine_spec(engine),
            folder=folder.absolute(),
            command=choice.command(engine),
        )
        run = execute(request, self.progress)
        if run.record.status == "interrupted":
            raise Interrupted("Interrupted; start the demo again to go on where it was.")
        if run.record.status == "failed":
            raise RunFailed(f"{run.record.cause} (details in {folder}).")
        return run

    def _earlier(self, folder: Path) -> Run | None:
        """The complete run in `folder`; any other leftover there is the demo's own, and cleared."""
        if not folder.exists():
            return None
        try:
            run = Run.read(folder)
        except UsageError:
            run = None
        if run is not None and run.record.status == "complete" and not self.fresh:
            return run
        if run is not None and run.record.status == "running":
            process = run.record.process
            raise UsageError(
                f"Another demo is running in {folder} (process {process.pid} on "
                f"{process.host}, since {run.record.started_utc}); wait for it, or "
                f"remove that folder if it is gone."
            )
        shutil.rmtree(folder)
        return None


def _performance(run: Run) -> TestRecord:
    test = run.record.tests.performance
    assert test is not None, "every run of the demo has one"
    return test


def _metrics(run: Run) -> Metrics:
    metrics = _performance(run).metrics
    assert metrics is not None, "it is complete"
    return metrics
