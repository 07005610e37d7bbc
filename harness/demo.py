"""The demo: three engines of the bundled model, benchmarked in short form, side by side.

The engines take turns, so that whatever else the machine does meets all of them, and Offline is
measured several times over the whole demo, so that a difference can be held against its noise.

Each run lies under the digest of its inputs. A demo that is started again takes up the runs that
are complete, so an interrupted one goes on where it was, and a finished one shows its table at
once.
"""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from build_engine.errors import RunFailed
from build_engine.memory import require_address_space
from build_engine.paths import cache_root
from build_engine.validation import Frozen
from harness.dataset.preparation import prepare
from harness.dataset.sources.bundled import NAME as BUNDLED
from harness.dataset.sources.source import Source
from harness.loadgen.installed import require_loadgen
from harness.loadgen.metrics import Metrics, mean
from harness.machine.load import MachineLoad
from harness.rules.scenario import Scenario
from harness.rules.workload import load_workload
from harness.runs.choice import RunChoice
from harness.runs.engine_choice import EngineChoice
from harness.runs.record import TestRecord
from harness.runs.run import Run
from harness.runs.worth import told_first
from harness.scoring.accuracy import Accuracy
from harness.studies.place import check_study_folder, held
from harness.studies.rate import server_rate
from harness.studies.turns import Turn, take_turn

if TYPE_CHECKING:
    from build_engine.store.engine import Engine
    from harness.dataset.prepared import Dataset
    from harness.progress import Progress
    from harness.rules.rounds import Round

RECIPES = ("bf16", "int8_wo", "int4_wo")
NUM_OFFLINE = 4  # tests of each engine, for an interval that is not too wide
NUM_SAMPLES = 128
NUM_SERVER_SAMPLES = 512  # early stopping at p99 needs 459 without a slow one
NUM_LATENCY_SAMPLES = 64  # the fewest from which LoadGen estimates a p90


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
    """What the table shows of one recipe; ROUGE in percent.

    Rates are geometric means of the Offline tests, `offline_tokens_per_s` those of each. `busy` has
    the load of each scenario that was measured on a busy machine, the highest of its tests.
    `verdicts` are lines: what the first is because of follows it.
    """

    recipe: str
    size_bytes: int
    samples_per_s: float
    tokens_per_s: float
    offline_tokens_per_s: tuple[float, ...]
    server: Latencies
    single_stream: Latencies
    accuracy: Accuracy
    num_latency_samples: int
    busy: dict[Scenario, MachineLoad]
    verdicts: dict[Scenario, tuple[str, ...]]
    runs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class DemoRuns:
    """One recipe's engine and its runs, all of them complete."""

    engine: Engine
    offline: tuple[Run, ...]
    server: Run
    single_stream: Run

    @property
    def row(self) -> DemoRow:
        """What the table shows."""
        first, *_ = self.offline
        runs = (*self.offline, self.server, self.single_stream)
        rates = [_rates(run) for run in self.offline]
        tokens_per_s = [tokens for _, tokens in rates]
        accuracy = first.record.accuracy
        assert accuracy is not None, "Offline is scored"
        return DemoRow(
            recipe=self.engine.recipe,
            size_bytes=self.engine.size_bytes,
            samples_per_s=mean([samples for samples, _ in rates]),
            tokens_per_s=mean(tokens_per_s),
            offline_tokens_per_s=tuple(tokens_per_s),
            server=Latencies.of(_metrics(self.server)),
            single_stream=Latencies.of(_metrics(self.single_stream)),
            accuracy=accuracy.scores,
            num_latency_samples=self.single_stream.record.num_samples,
            busy=_busy(runs),
            verdicts=_verdicts(runs),
            runs=tuple(str(run.folder.path) for run in runs),
        )


@dataclass(frozen=True, slots=True)
class DemoSize:
    """How much the demo measures: Offline tests of each engine, and samples of each scenario."""

    offline: int = NUM_OFFLINE
    samples: int = NUM_SAMPLES
    server_samples: int = NUM_SERVER_SAMPLES
    latency_samples: int = NUM_LATENCY_SAMPLES


def run_demo(
    folder: Path, progress: Progress, *, fresh: bool, chosen: Round, size: DemoSize | None = None
) -> list[DemoRuns]:
    """Build, run and score; the runs in the order of RECIPES.

    Raises OutputError and EnvironmentFault (a LoadGen of another round than `chosen`) before
    anything is built, Interrupted and RunFailed with the cause when a run does not complete; what
    is complete stays.
    """
    check_study_folder(folder)
    require_loadgen(chosen)
    require_address_space()
    size = size or DemoSize()
    workload = load_workload(BUNDLED)
    engines: list[Engine] = []
    for recipe in RECIPES:
        choice = EngineChoice(model=BUNDLED, target="cpu", recipe=recipe)
        engines.append(choice.build(workload, progress))
    source = Source.find(BUNDLED)
    datasets = {
        count: prepare(workload, source, engines[0].folder, cache_root(), count, progress)
        for count in {size.samples, size.server_samples, size.latency_samples}
    }
    num_runs = len(engines) * (size.offline + 2)
    turns = (f"Run {turn} of {num_runs}" for turn in itertools.count(1))
    with held(folder):
        return _in_turns(_Demo(folder, datasets, chosen, progress, fresh, turns), engines, size)


def _in_turns(demo: _Demo, engines: Sequence[Engine], size: DemoSize) -> list[DemoRuns]:
    """Each scenario of all engines, one engine after the other, between rounds of Offline."""
    both, alone = "both", "performance"
    offline: list[list[Run]] = [[] for _ in engines]

    def offline_until(number: int) -> None:
        while len(offline[0]) < number:
            again = len(offline[0]) + 1
            for engine, runs in zip(engines, offline, strict=True):
                mode = alone if again > 1 else both
                runs.append(demo.run(engine, Scenario.OFFLINE, mode, size.samples, again=again))

    offline_until(max(size.offline - 2, 1))
    rate = statistics.median(_rates(run)[0] for run in offline[0])
    qps = server_rate(rate)
    single = [
        demo.run(engine, Scenario.SINGLE_STREAM, alone, size.latency_samples) for engine in engines
    ]
    offline_until(max(size.offline - 1, 1))
    server = [
        demo.run(engine, Scenario.SERVER, alone, size.server_samples, qps) for engine in engines
    ]
    offline_until(size.offline)
    return [
        DemoRuns(engine, tuple(runs), *others)
        for engine, runs, *others in zip(engines, offline, server, single, strict=True)
    ]


@dataclass(frozen=True, slots=True)
class _Demo:
    """Where the demo's runs lie, and what they run on."""

    folder: Path
    datasets: dict[int, Dataset]
    round: Round
    progress: Progress
    fresh: bool
    turns: Iterator[str]
    """How each run is numbered."""

    def run(
        self,
        engine: Engine,
        scenario: Scenario,
        mode: str,
        count: int,
        qps: float | None = None,
        again: int = 1,
    ) -> Run:
        """The complete run of these inputs: an earlier one, or one made now."""
        choice = RunChoice(
            scenario=scenario, mode=mode, count=count, qps=qps, round=self.round.name
        )
        turn = Turn(engine, choice, self.datasets[count], again, engine.recipe)
        title = f"{next(self.turns)}, {engine.recipe} {scenario}"
        run = take_turn(self.folder, turn, title, self.progress, fresh=self.fresh)
        if run.record.status == "failed":
            raise RunFailed(f"{run.record.cause} (details in {run.folder.path}).")
        return run


def _performance(run: Run) -> TestRecord:
    test = run.record.tests.performance
    assert test is not None, "every run of the demo has one"
    return test


def _metrics(run: Run) -> Metrics:
    metrics = _performance(run).metrics
    assert metrics is not None, "it is complete"
    return metrics


def _rates(run: Run) -> tuple[float, float]:
    """Samples and tokens a second."""
    metrics = _metrics(run)
    assert metrics.samples_per_s is not None and metrics.tokens_per_s is not None
    return metrics.samples_per_s, metrics.tokens_per_s


def _busy(runs: Iterable[Run]) -> dict[Scenario, MachineLoad]:
    """The highest load of each scenario that was measured beside other work."""
    found: dict[Scenario, MachineLoad] = {}
    for run in runs:
        load, scenario = _performance(run).load, run.record.scenario
        if load is None or load.busy is None:
            continue
        found[scenario] = max(load, found.get(scenario, load), key=lambda each: each.taken)
    return found


def _verdicts(runs: Iterable[Run]) -> dict[Scenario, tuple[str, ...]]:
    """What is told of each scenario: of its first test that is not VALID, if there is one."""
    found: dict[Scenario, list[Run]] = {}
    for run in runs:
        found.setdefault(run.record.scenario, []).append(run)
    return {
        scenario: tuple(
            told_first([_performance(run).verdict for run in alike], alike[0].record.marks)
        )
        for scenario, alike in found.items()
    }
