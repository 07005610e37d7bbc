"""Where like is not compared with like: said loudly beside every number that it touches."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from build_engine.fields import Differences, different
from build_engine.validation import shortened
from harness.report.configuration import surroundings, test_settings

if TYPE_CHECKING:
    from harness.report.candidate import Candidate


def notes_of(baseline: Candidate, other: Candidate) -> tuple[str, ...]:
    """One sentence for each thing that two candidates do not have in common, and should."""
    return tuple(_notes(baseline, other))


def _notes(baseline: Candidate, other: Candidate) -> Iterator[str]:
    unlike = different(surroundings(baseline.first), surroundings(other.first))
    if baseline.first.is_simulated != other.first.is_simulated:
        pretended, real = sorted((baseline, other), key=lambda each: not each.first.is_simulated)
        yield f"{pretended.label} is simulated by a time model, and {real.label} is not."
    if machine := _of("machine.", unlike):
        yield f"They ran on different machines ({machine}), which their speed shows as well."
    if rules := _of("rules.", unlike):
        yield f"They were measured by different rules ({rules})."
    if workload := _of("workload.", unlike):
        yield f"They were asked different things ({workload})."
    for scenario in baseline.scenarios:
        if scenario not in other.scenarios:
            continue
        ours, theirs = baseline.scenarios[scenario][0], other.scenarios[scenario][0]
        if ours.record.dataset.digest != theirs.record.dataset.digest:
            counts = [each.record.num_samples for each in (ours, theirs)]
            yield f"{scenario} asked different samples, {counts[0]} and {counts[1]} of them."
        if ours.metrics and theirs.metrics:
            asked = different(test_settings(ours), test_settings(theirs))
            if settings := _of("test.", asked):
                yield f"{scenario} was asked in different ways ({settings})."


def doubts_of(candidate: Candidate) -> Iterator[str]:
    """What must be known of one candidate, whatever it is compared with."""
    if candidate.first.is_simulated:
        yield f"{candidate.label} is simulated: a time model answered, and nothing is measured."
    if candidate.first.is_emulated:
        yield f"{candidate.label} has an accuracy alone: it was not executed on its GPU."
    for scenario in candidate.scenarios:
        said, *rules = candidate.verdict(scenario)
        if rules:
            more = f", and {len(rules) - 1} more" if len(rules) > 1 else ""
            yield f"{scenario} of {candidate.label} is {said}: {rules[0]}{more}."
    served = candidate.first.record.served
    if served is not None:
        yield (
            f"{candidate.label} is a server's, known by what it says and its user declares: its "
            "weights, size and memory, and what else its machine did, are not known."
        )
    if candidate.busy:
        yield (
            f"{len(candidate.busy)} tests of {candidate.label} were measured beside other work "
            f"({candidate.busy[0]})."
        )


def _of(prefix: str, found: Differences) -> str:
    """The differences below a prefix, in words."""
    return ", ".join(
        f"{name.removeprefix(prefix)}: {shortened(str(ours))} and {shortened(str(theirs))}"
        for name, ours, theirs in found
        if name.startswith(prefix)
    )
