"""A candidate: one engine configuration with its runs, those of one scenario taken as repeats.

Runs are repeats of each other where the engine, how it is executed, the machine, the rules, the
samples and the rate are the same.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from build_engine.fields import Fields
from build_engine.store.spec import SHORT_KEY_LEN
from harness.report.configuration import engine_settings, surroundings, test_settings

if TYPE_CHECKING:
    from harness.loadgen.metrics import Metrics
    from harness.report.result import Result
    from harness.rules.scenario import Scenario
    from harness.runs.limits_record import LimitsRecord
    from harness.runs.record import AccuracyRecord, Mark

# What tells candidates of one recipe apart, the most telling first; any other field comes after.
_TELLING = (
    "executor.backend",
    "engine.target.name",
    "engine.recipe.kv_cache",
    "engine.profile",
    "engine.limits.",
    "engine.recipe.",
    "executor.",
    "test.",
    "dataset.num_samples",
    "dataset.source",
    "workload.",
    "rules.",
    "machine.",
    "engine.backend.",
)


@dataclass(frozen=True, slots=True)
class Candidate:
    """One configuration. `label` is short, and no other candidate's."""

    label: str
    results: tuple[Result, ...]

    @property
    def first(self) -> Result:
        """What stands for all of them in what they have in common."""
        return self.results[0]

    @property
    def recipe(self) -> str:
        return self.first.recipe

    @property
    def scenarios(self) -> dict[Scenario, tuple[Result, ...]]:
        """Its runs by scenario, in order of time."""
        found: dict[Scenario, tuple[Result, ...]] = {}
        for result in self.results:
            found[result.scenario] = (*found.get(result.scenario, ()), result)
        return found

    def metrics(self, scenario: Scenario) -> tuple[Metrics, ...]:
        """LoadGen's figures of every performance test of a scenario, in order of time."""
        return tuple(each for run in self.scenarios.get(scenario, ()) for each in run.metrics)

    def verdict(self, scenario: Scenario) -> list[str]:
        """Lines on the first run of a scenario that is not VALID, or else on the first."""
        return max(
            (result.verdict for result in self.scenarios[scenario]),
            key=lambda lines: len(lines) > 1,
        )

    def limits(self, scenario: Scenario) -> LimitsRecord | None:
        """How close the first run of a scenario that says so came to the limits of its machine."""
        found = (run.record.limits for run in self.scenarios.get(scenario, ()))
        return next((limits for limits in found if limits is not None), None)

    def no_limits(self, scenario: Scenario) -> str | None:
        """Why that is not known, as the first run of a scenario that says so has it."""
        found = (run.record.no_limits for run in self.scenarios.get(scenario, ()))
        return next((reason for reason in found if reason is not None), None)

    @property
    def scored(self) -> Result | None:
        """The run whose accuracy counts: the first that has one."""
        return next((result for result in self.results if result.accuracy is not None), None)

    @property
    def accuracy(self) -> AccuracyRecord | None:
        """The score of that run."""
        return self.scored.accuracy if self.scored else None

    @property
    def marks(self) -> tuple[Mark, ...]:
        """Of any of its runs, each once."""
        return tuple(dict.fromkeys(mark for result in self.results for mark in result.marks))

    @property
    def busy(self) -> tuple[str, ...]:
        """What is said of each test that was measured beside other work."""
        return tuple(words for result in self.results for words in result.busy)


def candidates_of(results: Iterable[Result]) -> tuple[Candidate, ...]:
    """The candidates, in the order in which each is met first.

    Runs of folders that were named apart are never taken together, unless each was named by its own
    folder.
    """
    groups: dict[str, list[Result]] = {}
    for result in results:
        groups.setdefault(_configuration(result), []).append(result)
    return _labelled([alike for group in groups.values() for alike in _alike(group)])


def each_alone(results: Iterable[Result]) -> tuple[Candidate, ...]:
    """Each result as a candidate of its own, called by its folder's name; by the whole path where
    that is another's as well, and by a number where a run is there twice.
    """
    listed = list(results)
    names = [
        f"{result.name}, {result.called}"
        if result.is_emulated or result.is_simulated
        else result.name
        for result in listed
    ]
    paths = [str(result.folder) for result in listed]
    labels = [
        name if names.count(name) == 1 or len({*paths}) == 1 else path
        for name, path in zip(names, paths, strict=True)
    ]
    return tuple(
        Candidate(
            f"{label} ({labels[:i].count(label) + 1})" if label in labels[:i] else label, (r,)
        )
        for i, (label, r) in enumerate(zip(labels, listed, strict=True))
    )


def _configuration(result: Result) -> str:
    settings = engine_settings(result)
    around = {
        name: value
        for name, value in surroundings(result).items()
        if not name.startswith("dataset.")  # each scenario may have samples of its own number
    }
    apart = None if result.source == result.folder else str(result.source)
    return _text([settings, around, apart])


def _alike(group: Sequence[Result]) -> list[list[Result]]:
    """The runs of one configuration, apart where one scenario was asked in several ways."""
    found: list[list[Result]] = []
    for result in group:
        for together in found:
            if all(_are_repeats(result, other) for other in together):
                together.append(result)
                break
        else:
            found.append([result])
    return found


def _are_repeats(result: Result, other: Result) -> bool:
    """Whether two runs of one configuration do not ask one scenario in two ways; a run without a
    performance test has only samples.
    """
    if result.scenario != other.scenario:
        return True
    settings, others = test_settings(result), test_settings(other)
    same_samples = result.record.dataset.digest == other.record.dataset.digest
    return same_samples and (not settings or not others or settings == others)


def _labelled(groups: Sequence[Sequence[Result]]) -> tuple[Candidate, ...]:
    found = [Candidate(group[0].called, tuple(group)) for group in groups]
    for label in dict.fromkeys(candidate.label for candidate in found):
        same = [index for index, candidate in enumerate(found) if candidate.label == label]
        if len(same) > 1:
            words = _told_apart([found[index] for index in same])
            for index, more in zip(same, words, strict=True):
                found[index] = replace(found[index], label=f"{label} ({more})")
    return tuple(found)


def _told_apart(candidates: Sequence[Candidate]) -> list[str]:
    """The fewest fields that tell them apart, the most telling first, and else their numbers."""
    facts = [_facts(candidate) for candidate in candidates]
    labels = [""] * len(facts)
    names = sorted({name for each in facts for name in each}, key=_order)
    for name in names:
        values = [each.get(name) for each in facts]
        more = [_joined(label, name, value) for label, value in zip(labels, values, strict=True)]
        if len(set(more)) > len(set(labels)):
            labels = more
    if len(set(labels)) < len(labels):
        labels = [f"{label} {i}".strip() for i, label in enumerate(labels, start=1)]
    return labels


def _facts(candidate: Candidate) -> Fields:
    first = candidate.first
    facts = {**engine_settings(first), **surroundings(first), **test_settings(first)}
    return {**facts, "model": first.model, "source": str(first.source)}


def _order(name: str) -> tuple[int, str]:
    ranks = (rank for rank, prefix in enumerate(_TELLING) if name.startswith(prefix))
    return next(ranks, len(_TELLING)), name


def _joined(label: str, name: str, value: Any) -> str:
    last = name.rpartition(".")[2]
    text = value if isinstance(value, str) else json.dumps(value)
    if re.fullmatch("[0-9a-f]{64}", text):
        text = text[:SHORT_KEY_LEN]
    said = text if last in ("name", "backend", "source", "model") else f"{last} {text}"
    return f"{label}, {said}" if label else said


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True)
