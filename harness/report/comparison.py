"""A comparison: candidates beside a baseline, as one record from which every table is made.

Values are in the units of `metrics.py`. That of several tests is their geometric mean; that of one
test is LoadGen's own.
"""

from __future__ import annotations

from typing import Literal

from pydantic import JsonValue

from build_engine.validation import Frozen
from harness.report.metrics import METRICS, MetricName
from harness.report.statistics import Interval
from harness.rules.scenario import Scenario
from harness.runs.record import Mark

SCHEMA = 1

Outcome = Literal["better", "worse", "equal", "not told apart", "not known"]
"""`not told apart`: the interval holds no difference; `not known`: there is no interval."""


class Figure(Frozen):
    """One metric of a candidate; `values` are those of each test, in order of time. Without a
    scenario it is no matter of time.
    """

    metric: MetricName
    scenario: Scenario | None
    value: float
    values: tuple[float, ...]


class GateLevel(Frozen):
    """A score beside a share (`level`, 0.99 or 0.999) of the baseline's or of the reference's.

    `certain` is whether the interval agrees: None where there is none.
    """

    against: Literal["baseline", "reference"]
    level: float
    metric: MetricName
    value: float
    limit: float
    passed: bool
    certain: bool | None

    @property
    def sentence(self) -> str:
        """How it went, in words."""
        by = abs(self.value - self.limit)
        doubt = "" if self.certain is not False else ", and the interval reaches beyond it"
        return (
            f"{METRICS[self.metric].title} is {self.value:.2f}, {self.level * 100:g} % of the "
            f"{self.against} is {self.limit:.2f}: {'kept' if self.passed else 'missed'} by "
            f"{by:.2f}{doubt}"
        )


class CandidateSummary(Frozen):
    """One candidate: what it is, its figures, and whether its scores keep the reference's."""

    label: str
    recipe: str
    target: str | None
    model: str | None
    engine_key: str | None
    emulated: bool
    marks: tuple[Mark, ...]
    doubts: tuple[str, ...]
    """What must be known of it whatever it is compared with: a broken rule, a busy machine, an
    emulation.
    """
    machine: str
    runs: tuple[str, ...]
    verdicts: dict[Scenario, tuple[str, ...]]
    figures: tuple[Figure, ...]
    gates: tuple[GateLevel, ...]
    of_limit: dict[Scenario, float]
    """What the first run of a scenario reached of the overlap limit of its machine, where that is
    known.
    """

    @property
    def simulated(self) -> bool:
        """Whether a time model answered."""
        return "simulated" in self.marks

    @property
    def invalid(self) -> dict[Scenario, str]:
        """The scenarios with a test that is not VALID, and the first rule that it breaks."""
        return {each: lines[1] for each, lines in self.verdicts.items() if len(lines) > 1}

    def figure(self, metric: str, scenario: Scenario | None = None) -> Figure | None:
        """One of its figures; None for one that it does not have."""
        found = (f for f in self.figures if (f.metric, f.scenario) == (metric, scenario))
        return next(found, None)


class Change(Frozen):
    """One figure of the other candidate beside the baseline's.

    `change` is relative (0.1: 10 % more), `difference` in the metric's unit; each has its interval,
    None where the data say nothing of noise. `counts` are the tests of both sides, or the samples.
    """

    metric: MetricName
    scenario: Scenario | None
    baseline: float
    other: float
    change: float
    change_interval: Interval | None
    difference: float
    difference_interval: Interval | None
    counts: tuple[int, int]
    outcome: Outcome

    @property
    def title(self) -> str:
        """What it is, with its scenario."""
        title = METRICS[self.metric].title
        return title if self.scenario is None else f"{self.scenario} {title}"


class Gap(Frozen):
    """A figure that tests have, and of which no change can be told; `why` says it of one side.
    `lost` is whether the baseline has it, so that the other is behind.
    """

    metric: MetricName
    scenario: Scenario
    lost: bool
    why: str


class Setting(Frozen):
    """A field of the configuration that differs."""

    field: str
    baseline: JsonValue
    other: JsonValue


TEXTS = ("reference", "baseline", "other")
"""The fields of a drop that are texts of any length."""


class Drop(Frozen):
    """An answer that scores less; ROUGE-1 in percent. `first_token` and `first_character` are where
    the two answers part, None where they cannot be compared so.
    """

    sample: int
    rouge1_baseline: float
    rouge1_other: float
    first_token: int | None
    first_character: int
    reference: str
    baseline: str
    other: str


class Divergence(Frozen):
    """How the answers to the same samples differ.

    `first_tokens` are quartiles of the place of the first other token, over the answers that
    differ; None where there is none, or ids mean different things. `worst` has the greatest drops.
    """

    num_samples: int
    num_equal: int
    first_tokens: tuple[float, float, float] | None
    worst: tuple[Drop, ...]


class Pair(Frozen):
    """One candidate beside the baseline. `notes` say where like is not compared with like,
    `sentences` what the data tell.
    """

    baseline: str
    other: str
    notes: tuple[str, ...]
    settings: tuple[Setting, ...]
    changes: tuple[Change, ...]
    gaps: tuple[Gap, ...]
    gates: tuple[GateLevel, ...]
    divergence: Divergence | None
    sentences: tuple[str, ...]

    def change(self, metric: str, scenario: Scenario | None = None) -> Change | None:
        """One of its changes; None for one that it does not have."""
        found = (c for c in self.changes if (c.metric, c.scenario) == (metric, scenario))
        return next(found, None)


class ParetoPoint(Frozen):
    """A candidate by throughput, accuracy and memory (an axis that not all have is None);
    `dominated_by` is one that is as good in all and better in something, None on the front.
    """

    label: str
    throughput: float | None
    accuracy: float | None
    memory: float | None
    dominated_by: str | None


class Pareto(Frozen):
    """Who is worth choosing. `axes` say what was weighed, `left_out` who could not be, and why."""

    axes: tuple[str, ...]
    points: tuple[ParetoPoint, ...]
    left_out: dict[str, str]

    @property
    def front(self) -> tuple[str, ...]:
        """The labels of those that nobody dominates."""
        return tuple(point.label for point in self.points if point.dominated_by is None)


class Comparison(Frozen):
    """Candidates, the baseline's first, and each of the others beside it."""

    schema_version: int = SCHEMA
    baseline: str
    candidates: tuple[CandidateSummary, ...]
    pairs: tuple[Pair, ...]
    pareto: Pareto

    @property
    def in_common(self) -> tuple[tuple[Pair, Change], ...]:
        """The pairs whose scores are compared on a part of the samples of either, with ROUGE-1."""
        found = [(pair, pair.change("rouge1")) for pair in self.pairs]
        scored = [(pair, change) for pair, change in found if change is not None]
        return tuple(each for each in scored if self._is_part(*each))

    def _is_part(self, pair: Pair, change: Change) -> bool:
        sides = ((pair.baseline, change.baseline), (pair.other, change.other))
        wholes = ((self.candidate(label).figure("rouge1"), value) for label, value in sides)
        return any(whole is not None and whole.value != value for whole, value in wholes)

    def candidate(self, label: str) -> CandidateSummary:
        """The candidate of this label."""
        return next(each for each in self.candidates if each.label == label)
