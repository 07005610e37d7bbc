"""What a completed test left behind, and what it was meant to be: all that a verdict goes by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness.loadgen.detail import DetailLog
    from harness.loadgen.given import GivenAnswers
    from harness.loadgen.logs import LoggedAnswer
    from harness.loadgen.settings import LoadgenPlan
    from harness.rules.rounds import Round
    from harness.rules.workload import ScenarioRules, Workload
    from harness.runs.reading import Language
    from runtime.executor import TokenIds


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """One completed test."""

    plan: LoadgenPlan
    log: DetailLog
    token_counts: Sequence[int]
    """Of each answer, in any order, as the harness counted them."""
    workload: Workload
    round: Round
    answers: Sequence[LoggedAnswer] = ()
    """LoadGen's accuracy log, in accuracy mode."""
    summary_differences: Sequence[str] = ()
    prefix_caching: bool = False
    given: GivenAnswers | None = None
    """What the engine gave; None only where a test of ours has no engine at all."""
    language: Language | None = None
    """Of the engine; None for an executor without one, whose answers mean nothing."""
    others: Mapping[int, TokenIds] = field(default_factory=dict)
    """In performance mode, the answers of the run's accuracy test by sample; none without one."""

    @property
    def limits(self) -> ScenarioRules:
        """Of the scenario that the run claims to be."""
        return self.workload.rules_of(self.plan.scenario)
