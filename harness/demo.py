"""The demo: three engines of the bundled model, benchmarked in short form, side by side.

The engines take turns, so that whatever else the machine does meets all of them, and Offline is
measured several times over the whole demo, so that a difference can be held against its noise.

It is a study, so each run lies under the digest of its inputs. A demo that is started again takes
up the runs that are complete: an interrupted one goes on where it was, and a finished one shows its
table at once.
"""

from __future__ import annotations

import itertools
import shlex
import statistics
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from build_engine.errors import Interrupted, RunFailed
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
from harness.runs.run import Run, now_utc
from harness.runs.worth import told_first
from harness.scoring.accuracy import Accuracy
from harness.studies.digests import engine_digest, rate_digest, run_digest
from harness.studies.place import check_study_folder, held
from harness.studies.rate import server_rate
from harness.studies.record import Point, StudyRecord
from harness.studies.study import Study, interrupted
from harness.studies.turns import Turn

if TYPE_CHECKING:
    from build_engine.store.engine import Engine
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

    @property
    def counts(self) -> dict[Scenario, int]:
        """Samples by scenario."""
        return {
            Scenario.OFFLINE: self.samples,
            Scenario.SERVER: self.server_samples,
            Scenario.SINGLE_STREAM: self.latency_samples,
        }

    @property
    def rounds(self) -> list[tuple[Scenario, int]]:
        """A scenario of all engines, one engine after the other, and for which time: Offline again
        between the others.
        """
        offline = [(Scenario.OFFLINE, again) for again in range(1, self.offline + 1)]
        first, second = max(self.offline - 2, 1), max(self.offline - 1, 1)
        return [
            *offline[:first],
            (Scenario.SINGLE_STREAM, 1),
            *offline[first:second],
            (Scenario.SERVER, 1),
            *offline[second:],
        ]


def run_demo(
    folder: Path,
    progress: Progress,
    *,
    fresh: bool,
    chosen: Round,
    command: str = "enginebench demo",
    size: DemoSize | None = None,
) -> list[DemoRuns]:
    """Build, run and score; the runs in the order of RECIPES. What was measured in `folder` before
    is removed where it is begun `fresh`; `command` is the one that goes on with it.

    Raises OutputError and EnvironmentFault (a LoadGen of another round than `chosen`) before
    anything is built, Interrupted and RunFailed with the cause when a run does not complete; what
    is complete stays.
    """
    check_study_folder(folder)
    require_loadgen(chosen)
    require_address_space()
    turns = _turns(size or DemoSize(), chosen)
    asked = StudyRecord(
        schema_version=StudyRecord.SCHEMA,
        command=command,
        started_utc=now_utc(),
        points=tuple(point for each in turns for point in each.points),
        model=BUNDLED,
    )
    with held(folder):
        try:
            study = Study.begin(folder, asked, progress, fresh=fresh)
            return _in_turns(study, turns)
        except (Interrupted, KeyboardInterrupt):
            raise interrupted(folder, shlex.split(command)[1:], fresh=fresh) from None


def _engine(recipe: str) -> EngineChoice:
    return EngineChoice(model=BUNDLED, target="cpu", recipe=recipe)


@dataclass(frozen=True, slots=True)
class _Turns:
    """One scenario of all engines, one after the other: what is asked of each, but for the rate,
    and the points in the order of RECIPES.
    """

    choice: RunChoice
    count: int
    points: tuple[Point, ...]


def _turns(size: DemoSize, chosen: Round) -> list[_Turns]:
    """In the order in which they are measured."""
    workload = load_workload(BUNDLED)
    engines = {recipe: engine_digest(_engine(recipe)) for recipe in RECIPES}
    found = []
    for scenario, again in size.rounds:
        count = size.counts[scenario]
        scored = scenario.all_at_once and again == 1
        choice = RunChoice(
            scenario=scenario,
            mode="both" if scored else "performance",
            count=count,
            round=chosen.name,
        )
        asked = run_digest(choice, workload)
        points = (
            Point(
                engine=recipe,
                target=_engine(recipe).target,
                recipe=recipe,
                emulated=False,
                scenario=scenario,
                repeat=again,
                engine_digest=engine,
                run_digest=asked,
            )
            for recipe, engine in engines.items()
        )
        found.append(_Turns(choice, count, tuple(points)))
    return found


def _in_turns(study: Study, turns: Sequence[_Turns]) -> list[DemoRuns]:
    """Engine after engine is built, then round after round is measured."""
    workload, progress = load_workload(BUNDLED), study.progress
    engines = [_engine(recipe).build(workload, progress) for recipe in RECIPES]
    datasets = {
        count: prepare(
            workload, Source.find(BUNDLED), engines[0].folder, cache_root(), count, progress
        )
        for count in {each.count for each in turns}
    }
    runs: defaultdict[tuple[str, Scenario], list[Run]] = defaultdict(list)
    conditions = rate_digest(workload, None, _engine(RECIPES[0]).target)
    num_runs, number = sum(len(each.points) for each in turns), itertools.count(1)

    def rate() -> float | None:
        measured = runs[RECIPES[0], Scenario.OFFLINE]
        return server_rate(statistics.median(_rates(run)[0] for run in measured))

    for each in turns:
        scenario = each.points[0].scenario
        qps = study.rate(conditions, rate) if scenario.has_rate else None
        choice = replace(each.choice, qps=qps)
        for engine, point in zip(engines, each.points, strict=True):
            turn = Turn(engine, choice, datasets[each.count], point.repeat, engine.recipe)
            title = f"Run {next(number)} of {num_runs}, {engine.recipe} {scenario}"
            runs[engine.recipe, scenario].append(_complete(study, point, turn, title))
    return [
        DemoRuns(
            engine,
            tuple(runs[engine.recipe, Scenario.OFFLINE]),
            *runs[engine.recipe, Scenario.SERVER],
            *runs[engine.recipe, Scenario.SINGLE_STREAM],
        )
        for engine in engines
    ]


def _complete(study: Study, point: Point, turn: Turn, title: str) -> Run:
    """The run of a point: an earlier one, or one made now. Raises RunFailed."""
    run = study.run(point, turn, title)
    study.note(point.ended(run))
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
