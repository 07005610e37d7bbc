"""The search on engines whose limit is known: an A30 in virtual time, beside bisection by whole
runs. A run is VALID by LoadGen's early stopping, as in a search of a real engine.

What the search foretells goes by another engine than the one that answers: a fifth slower in its
arithmetic and a fifth faster in its memory.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, cached_property
from typing import TYPE_CHECKING

from benchmarks.result import Figure, Result
from build_engine.roofline.peaks import stated_peaks
from harness.plan.choice import PlanChoice
from harness.plan.plan import make_plan
from harness.rules.rounds import DEFAULT, load_round
from harness.rules.scenario import Scenario
from harness.search.foreseen import Foreseen, num_asked
from harness.search.highest import Found, Goal, find_highest, rounded
from harness.search.watch import Watch
from harness.simulation.early_stopping import most_over_early
from harness.simulation.foresight import Foresight
from harness.simulation.rehearsal import Trials
from harness.simulation.simulated import simulate

if TYPE_CHECKING:
    from harness.loadgen.settings import LoadgenPlan
    from harness.progress import Progress
    from harness.rules.limits import ScenarioLimits
    from harness.rules.rounds import Seeds
    from harness.search.outcome import ProbeOutcome, Step

TOLERANCE = 0.03
MOST_OF_BISECTION = 1 / 3
CASES = (
    *((Scenario.SERVER, recipe) for recipe in ("int8_sq", "int8_wo", "int4_awq", "bf16")),
    *((Scenario.INTERACTIVE, recipe) for recipe in ("int8_sq", "int8_wo")),
)
_COMPUTE, _BANDWIDTH = 0.8, 1.2  # of what it is, as the search takes it
_EXACT = 0.002
_FURTHEST = 64.0


@dataclass(frozen=True)
class Case:
    """An engine of Llama-3.1-8B on an A30 under one scenario; `seed` changes the arrivals and the
    prompts, `settings` the workload.
    """

    scenario: Scenario
    recipe: str
    seed: int
    settings: tuple[str, ...] = ()

    @cached_property
    def trials(self) -> Trials:
        """Its tests in virtual time."""
        choice = PlanChoice(
            model="llama3.1-8b",
            recipe=self.recipe,
            target="a30",
            workload=None,
            settings=self.settings,
        )
        chosen = load_round(DEFAULT)
        plan = make_plan(choice.asked(chosen)[0], chosen)
        seeds = chosen.loadgen.seeds
        other = {"schedule": seeds.schedule + 7919 * self.seed, "qsl": 31 + self.seed}
        loadgen = chosen.loadgen.model_copy(update={"seeds": seeds.model_copy(update=other)})
        peaks = stated_peaks(plan.asked.target).value
        assert peaks is not None
        found = Trials.of(plan, peaks, chosen.model_copy(update={"loadgen": loadgen}))
        assert found is not None
        return found

    @property
    def limits(self) -> ScenarioLimits:
        """Of TTFT and TPOT."""
        return self.trials.plan.asked.workload.rules_of(self.scenario)

    @cached_property
    def offline(self) -> float:
        """Queries a second where all are asked at once, as a plan expects it."""
        seen = self.trials.seen.offline.likely.typical
        return seen / self.trials.plan.asked.lengths.answer

    @cached_property
    def goal(self) -> Goal:
        """The search, from the rate on that a plan takes for likely."""
        likely = self.trials.seen.rates[self.scenario].likely.typical
        return Goal(
            start=rounded(min(max(likely, self.offline / _FURTHEST), self.offline)),
            lowest=rounded(self.offline / _FURTHEST),
            highest=rounded(1.2 * self.offline),
            tolerance=TOLERANCE,
            whole=lambda rate: num_asked(self.trials.loadgen(self.scenario, rate), self._seeds),
            most_over=most_over_early,
        )

    def whole(self, rate: float) -> tuple[bool, int]:
        """Whether a whole run is VALID, and its queries."""
        plan = self.trials.loadgen(self.scenario, rate)
        queries = num_asked(plan, self._seeds)
        watch = Watch(*self._limits_s, most_over_early(queries))
        self._simulated(plan, watch, to_the_end=True)
        return not watch.lost, queries

    def bisected(self, exact: float) -> tuple[float, int]:
        """The highest rate to so large a share, by whole runs between none and Offline's rate, and
        their queries.
        """
        low, high, asked = 0.0, self.offline, 0
        while high - low > exact * low:
            rate = (low + high) / 2
            valid, queries = _whole(self, rate)
            asked += queries
            low, high = (rate, high) if valid else (low, rate)
        return low, asked

    def searched(self) -> tuple[Found, int]:
        """How a search ends, and its queries."""
        spent: list[int] = []

        def oracle(step: Step) -> ProbeOutcome:
            outcome, asked = self.probe(step)
            spent.append(asked)
            return outcome

        return find_highest(self.goal, oracle, self.foreseen), sum(spent)

    def probe(self, step: Step) -> tuple[ProbeOutcome, int]:
        """A probe, and the queries that came until it ended."""
        watch = Watch(*self._limits_s, step.most_over)
        plan = self.trials.loadgen(self.scenario, step.rate)
        if step.kind != "whole":
            plan = plan.shortened(step.queries)
        asked = self._simulated(plan, watch)
        valid = not watch.lost if step.kind == "whole" else None
        return watch.outcome(step, given_up=watch.lost, valid=valid), asked

    def _simulated(self, plan: LoadgenPlan, watch: Watch, *, to_the_end: bool = False) -> int:
        """The queries that came until a test was lost, or its end."""

        def give_up(ttft_s: float, latency_s: float, num_tokens: int) -> bool:
            watch.add(ttft_s, latency_s, num_tokens)
            return watch.lost and not to_the_end

        trials = self.trials
        return simulate(plan, trials.model, *trials.lengths, self._seeds, give_up).num_queries

    @property
    def foreseen(self) -> Foreseen:
        """By the other engine."""
        trials, time = self.trials, self.trials.model.time
        wrong = {
            "linear_flops_per_s": _COMPUTE * time.linear_flops_per_s,
            "other_flops_per_s": _COMPUTE * time.other_flops_per_s,
            "bytes_per_s": _BANDWIDTH * time.bytes_per_s,
        }
        model = trials.model.model_copy(update={"time": time.model_copy(update=wrong)})
        prompts, answers = trials.lengths
        ttft_s, tpot_s = self._limits_s
        foresight = Foresight(
            model=model,
            prompts=prompts,
            answers=answers,
            seeds=self._seeds,
            ttft_s=ttft_s,
            tpot_s=tpot_s,
        )
        return Foreseen(
            foresight, lambda rate: trials.loadgen(self.scenario, rate), most_over_early
        )

    @property
    def _seeds(self) -> Seeds:
        return self.trials.round.loadgen.seeds

    @property
    def _limits_s(self) -> tuple[float, float]:
        limits = self.limits
        assert limits.ttft_ms is not None and limits.tpot_ms is not None, "a scenario with a rate"
        return limits.ttft_ms / 1e3, limits.tpot_ms / 1e3


@cache
def _whole(case: Case, rate: float) -> tuple[bool, int]:
    """The same run is part of bisections to different shares."""
    return case.whole(rate)


def measure(seeds: int, progress: Progress) -> Result:
    """Every case with so many seeds."""
    figures, queries = list[Figure](), list[float]()
    for scenario, recipe in CASES:
        shares, nearness = list[float](), list[float]()
        for seed in range(seeds):
            progress.phase(f"search: {scenario} {recipe}, seed {seed + 1} of {seeds}")
            case = Case(scenario, recipe, seed)
            found, asked = case.searched()
            shares.append(asked / case.bisected(TOLERANCE)[1])
            rate = found.best.rate if found.best else 0.0
            nearness.append(rate / case.bisected(_EXACT)[0])
        label = f"{scenario} {recipe}"
        figures.append(Figure(f"{label}: rate / the limit", "", tuple(nearness)))
        figures.append(
            Figure(f"{label}: queries / bisection's", "", tuple(shares), at_most=MOST_OF_BISECTION)
        )
        queries += shares
    figures.append(Figure("all: queries / bisection's", "", tuple(queries)))
    return Result(
        title="Search for the highest rate, on a simulated A30",
        figures=tuple(figures),
        notes=("in virtual time, so that the limit is known; bisection by whole runs, to 3 %",),
    )
