"""Probes by LoadGen: each a test in a process of its own, watched as it goes; whole ones are runs.

What a probe leaves lies below the search's folder: a run that is VALID in a folder that reports
find, everything else in a hidden one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from build_engine.errors import EXIT_OK, Interrupted, RunFailed
from build_engine.files import cannot_write
from build_engine.store.sealed import content_key
from build_engine.store.spec import SHORT_KEY_LEN
from harness.dataset.prompts import prompt_lengths
from harness.loadgen import logs
from harness.loadgen.settings import LoadgenPlan
from harness.loadgen.supervise import GIVEN_UP, run_test
from harness.machine.facts import library_versions
from harness.rules.scenario import Scenario
from harness.runs.execution import execute
from harness.runs.worth import broken_at_any_rate
from harness.search.watch import Watch
from harness.studies.place import clear
from harness.studies.turns import what_is_asked
from runtime.backend import engine_spec

if TYPE_CHECKING:
    from build_engine.store.engine import Engine
    from harness.dataset.prepared import Dataset
    from harness.loadgen.job import Probe
    from harness.loadgen.messages import AnswerRecord
    from harness.loadgen.metrics import Metrics
    from harness.loadgen.supervise import Outcome
    from harness.progress import Progress
    from harness.rules.verdict import Verdict
    from harness.runs.request import RunRequest
    from harness.search.choice import SearchChoice
    from harness.search.outcome import ProbeOutcome, RuntimeLimits, Step

HIDDEN = ".probes"
_OF_A_WHOLE_RUN = re.compile(f"whole-[0-9.e+-]+-[0-9a-f]{{{SHORT_KEY_LEN}}}")
_BURST = 256  # samples


@dataclass(frozen=True, slots=True)
class Probed:
    """A probe that was made: what it showed, and where it lies. `hopeless` is why no run can be
    VALID at any rate, where it showed that.
    """

    outcome: ProbeOutcome
    place: Path
    hopeless: str | None = None


@dataclass(frozen=True, slots=True)
class Prober:
    """Probes of one engine on one dataset; `settings` change the workload."""

    choice: SearchChoice
    engine: Engine
    dataset: Dataset
    settings: tuple[str, ...]
    folder: Path
    progress: Progress

    @property
    def asked(self) -> str:
        """The digest of all that decides what is found, but for where it begins."""
        asked = what_is_asked(self.choice.run_choice(None), self.dataset, self.settings)
        return _digest(self.engine.key, asked, library_versions())

    @property
    def prompt_lengths(self) -> list[int]:
        """Tokens of each sample's prompt."""
        return prompt_lengths(self.dataset.folder)

    def key(self, step: Step) -> str:
        """The digest of all that decides what a probe shows."""
        return _digest(self.asked, step.model_dump(mode="json"))

    def place(self, step: Step) -> Path:
        """The folder of a run that is VALID, or of a shorter probe."""
        name = f"{step.kind}-{step.rate:g}-{self.key(step)}"
        return self.folder / name if step.kind == "whole" else self.folder / HIDDEN / name

    @property
    def takes_limits(self) -> bool:
        """Whether the limits of the engine's scheduler can be set when it is loaded."""
        return engine_spec(self.engine).limited(1, 1) is not None

    def request(
        self, rate: float, output: Path | None = None, limits: RuntimeLimits | None = None
    ) -> RunRequest:
        """A whole run at a rate. Raises what `RunChoice.request_on` raises."""
        choice = self.choice.run_choice(rate, output)
        request = choice.request_on(self.engine, self.dataset, self.settings)
        if limits is None:
            return request
        spec = request.executor.limited(limits.max_batch_size, limits.max_num_tokens)
        assert spec is not None, "limits that cannot be set"
        return replace(request, executor=spec)

    def probe(self, step: Step) -> Probed:
        """Make one. Raises RunFailed, Interrupted and OutputError."""
        place = self.place(step)
        clear(place)
        request = self.request(step.rate, place, step.limits)
        rules = request.scope.workload.rules_of(request.scope.scenario)
        assert rules.ttft_ms is not None and rules.tpot_ms is not None, "a scenario with a rate"
        watch = Watch(rules.ttft_ms / 1e3, rules.tpot_ms / 1e3, step.most_over)
        if step.kind == "whole":
            return self._run(request, step, watch)

        def plan(probe: Probe) -> LoadgenPlan:
            return request.scope.plan("performance", probe).shortened(step.queries)

        outcome = self._test(request, plan, place, watch)
        lost = outcome.status != "complete"
        metrics = None if lost else logs.read_detail(place).metrics()
        return Probed(_measured(watch, step, metrics, given_up=lost), place)

    def burst(self) -> float:
        """Samples a second of a few that are asked for all at once, which no rate exceeds for long.
        Raises as `probe`.
        """
        request, place = self.request(1.0), self.folder / HIDDEN / "burst"
        count = min(self.dataset.num_samples, _BURST)
        plan = LoadgenPlan(
            scenario=Scenario.OFFLINE,
            mode="performance",
            model=request.scope.workload.loadgen_model,
            num_samples=self.dataset.num_samples,
            min_duration_s=0.0,
            min_query_count=count,
            target_qps=1.0,
            trial=True,
        )
        clear(place)
        self._test(request, lambda probe: plan, place, None)
        found = logs.read_detail(place).metrics().samples_per_s
        if not found:
            raise RunFailed("The burst has no rate by LoadGen's log; give --qps.")
        return found

    def _run(self, request: RunRequest, step: Step, watch: Watch) -> Probed:
        """A whole run; one that is no result goes where no report looks for it."""
        run = execute(request, self.progress, _give_up(watch))
        test = run.record.tests.performance
        if run.record.status == "failed":
            raise RunFailed(_failed(run.record.cause))
        if run.record.status == "interrupted" and run.record.cause != GIVEN_UP:
            raise Interrupted("Interrupted.")
        lost = run.record.status == "interrupted"
        valid = not lost and run.exit_code == EXIT_OK
        metrics = test.metrics if test else None
        outcome = _measured(watch, step, metrics, given_up=lost, valid=valid)
        if valid:
            return Probed(outcome, run.folder.path)
        aside = self.folder / HIDDEN / run.folder.path.name
        clear(aside)
        aside.parent.mkdir(exist_ok=True)  # a user may have removed it
        run.folder.path.rename(aside)
        verdict = None if lost or test is None else test.verdict
        return Probed(outcome, aside, at_any_rate(verdict) if verdict else None)

    def _test(
        self,
        request: RunRequest,
        plan: Callable[[Probe], LoadgenPlan],
        place: Path,
        watch: Watch | None,
    ) -> Outcome:
        """A LoadGen test that is no run; complete, or given up."""
        try:
            place.mkdir(parents=True)
        except OSError as error:
            raise cannot_write(place, error) from None
        give_up = _give_up(watch) if watch else _never
        outcome = run_test(request.job, plan, place, self.progress, give_up=give_up)
        if outcome.status == "failed":
            raise RunFailed(_failed(outcome.cause))
        if outcome.status == "interrupted" and outcome.cause != GIVEN_UP:
            raise Interrupted("Interrupted.")
        return outcome


def is_folder_of_a_whole_run(name: str) -> bool:
    """Whether a search calls folders of its runs so."""
    return _OF_A_WHOLE_RUN.fullmatch(name) is not None


def at_any_rate(verdict: Verdict) -> str | None:
    """Why a run is INVALID where no lower rate mends it, with the remedy; None where one may."""
    broken = broken_at_any_rate(verdict)
    if broken is None:
        return None
    return (
        f"A whole run is INVALID, and so it is at any rate. {broken.sentence}; then search again "
        "with --fresh."
    )


def _give_up(watch: Watch) -> Callable[[Sequence[AnswerRecord]], bool]:
    def seen(records: Sequence[AnswerRecord]) -> bool:
        for _, ttft_s, latency_s, num_tokens in records:
            watch.add(ttft_s, latency_s, num_tokens)
        return watch.lost

    return seen


def _never(_records: Sequence[AnswerRecord]) -> bool:
    return False


def _measured(
    watch: Watch,
    step: Step,
    metrics: Metrics | None,
    *,
    given_up: bool,
    valid: bool | None = None,
) -> ProbeOutcome:
    """What the watch saw, with LoadGen's own p99 where the test went to its end."""
    seen = watch.outcome(step, given_up=given_up, valid=valid)
    if metrics is None or metrics.ttft_p99_s is None or metrics.tpot_p99_s is None:
        return seen
    return seen.model_copy(
        update={
            "ttft": seen.ttft.model_copy(update={"p99_s": metrics.ttft_p99_s}),
            "tpot": seen.tpot.model_copy(update={"p99_s": metrics.tpot_p99_s}),
        }
    )


def _failed(cause: str | None) -> str:
    return (
        f"A probe failed: {cause or 'no cause was recorded'}. Mend that, and give the same command "
        "again: the probes that ended are not repeated."
    )


def _digest(*inputs: object) -> str:
    return content_key(inputs)[:SHORT_KEY_LEN]
