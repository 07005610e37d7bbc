"""What a sweep's table shows: an engine in one scenario, over all repeats."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import TYPE_CHECKING

from build_engine.validation import Frozen, Text
from harness.loadgen.metrics import Metrics
from harness.rules.scenario import Scenario
from harness.runs.worth import told_first
from harness.scoring.accuracy import Accuracy

if TYPE_CHECKING:
    from harness.runs.run import Run
    from harness.studies.sweep import Sweep


class SweepRow(Frozen):
    """`tokens_per_s` are those of each repeat, and `metrics` the means of all; ROUGE where the
    answers were scored. `busy` is whether one of the tests was measured beside other work, and
    `verdict` that of the first test that is not VALID, else of the first.
    """

    engine: Text
    scenario: Scenario
    size_bytes: int | None
    tokens_per_s: tuple[float, ...]
    metrics: Metrics
    accuracy: Accuracy | None
    busy: bool
    verdict: tuple[str, ...]
    runs: tuple[str, ...]


def rows_of(sweep: Sweep) -> list[SweepRow]:
    """In the order of the engines, and of their scenarios."""
    return [row for label, runs in sweep.runs.items() for row in _rows(label, runs)]


def _rows(label: str, runs: tuple[Run, ...]) -> Iterator[SweepRow]:
    by_scenario: defaultdict[Scenario, list[Run]] = defaultdict(list)
    for run in runs:
        by_scenario[run.record.scenario].append(run)
    for scenario, repeats in by_scenario.items():
        tests = [test for run in repeats for test in run.record.performance_tests]
        metrics = [test.metrics for test in tests if test.metrics is not None]
        first, engine = repeats[0].record, repeats[0].record.engine
        verdicts = [test.verdict for run in repeats for test in run.record.tests.begun.values()]
        yield SweepRow(
            engine=label,
            scenario=scenario,
            size_bytes=engine.size_bytes if engine else None,
            tokens_per_s=tuple(each.tokens_per_s for each in metrics if each.tokens_per_s),
            metrics=Metrics.mean_of(metrics),
            accuracy=first.accuracy.scores if first.accuracy else None,
            busy=any(test.load is not None and test.load.busy is not None for test in tests),
            verdict=tuple(told_first(verdicts, first.marks)),
            runs=tuple(str(run.folder.path) for run in repeats),
        )
