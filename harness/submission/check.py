"""Our own check of a submission tree, stricter than the official checker, which accepts INVALID,
short and wrongly limited results.

It needs no checkout, and reads any tree of a round, whoever made it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from build_engine.errors import UnknownName, UsageError
from build_engine.files import parse_json, read_bytes
from harness.rules.rounds import Benchmark, Round
from harness.rules.scenario import Scenario
from harness.submission.checks.accuracy import accuracy_problems
from harness.submission.checks.compliance import compliance_problems
from harness.submission.checks.files import (
    measurement_problems,
    submitter_problems,
    system_problems,
    system_type,
)
from harness.submission.checks.performance import performance_problems
from harness.submission.tree import DIVISIONS, Result, Submitter, submitters


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong, and where."""

    where: str
    sentence: str


def check_tree(root: Path, chosen: Round, submitter: str | None = None) -> list[Finding]:
    """Everything that is wrong with the tree, or with the `submitter`'s part of it; none for one
    that may be submitted.

    Raises UsageError when `root` is no submission, or has none of the `submitter`.
    """
    root = root.absolute()
    found = list(submitters(root, chosen))
    if not found:
        raise UsageError(
            f"{root} is no submission: it has no <division>/<submitter> folder, with a division "
            f"of {', '.join(DIVISIONS)}."
        )
    names = sorted({by.name for by in found})
    if submitter is not None and submitter not in names:
        raise UnknownName("submitter", submitter, names)
    looked_at = [by for by in found if submitter in (None, by.name)]
    return [finding for by in looked_at for finding in _submitter(by, chosen)]


def _submitter(by: Submitter, chosen: Round) -> Iterator[Finding]:
    top = by.folder.relative_to(by.root).as_posix()
    for problem in submitter_problems(by, chosen):
        yield Finding(top, problem)
    mapping = _mapping(by)
    groups: dict[tuple[str, str], list[Result]] = {}
    for result in by.results():
        groups.setdefault((result.system, result.benchmark), []).append(result)
    described: set[str] = set()
    for (system, name), results in groups.items():
        where = results[0].relative(results[0].folder.parent)
        if system not in described:
            described.add(system)
            for problem in system_problems(results[0], chosen):
                yield Finding(top, problem)
        rules = chosen.benchmarks.get(_official_name(name, mapping, chosen))
        if rules is None:
            known = ", ".join(chosen.benchmarks)
            yield Finding(
                where,
                f"{name} is no benchmark known here ({known}); in the open division "
                f"model_mapping.json says which one it follows.",
            )
            continue
        for problem in _scenario_problems(results, name, rules, chosen):
            yield Finding(where, problem)
        for result in results:
            for problem in _result(result, rules, chosen):
                yield Finding(f"{where}/{result.scenario}", problem)


def _scenario_problems(
    results: list[Result], name: str, rules: Benchmark, chosen: Round
) -> Iterator[str]:
    """Scenarios that the benchmark lacks, and those that a closed result does."""
    scenarios = {result.scenario for result in results}
    for unknown in sorted(name for name in scenarios if name not in rules.scenarios):
        yield f"{name} has no scenario {unknown} in round {chosen.name}."
    if results[0].by.division == "open":
        return
    for missing in rules.missing(scenarios):
        yield f"the required scenario {missing} is missing; a closed result needs it."
    kind = system_type(results[0])
    if kind in ("datacenter", "edge") and kind not in rules.system_types:
        yield f"{name} is no benchmark of {kind} systems; the official checker would crash on it."


def _result(result: Result, rules: Benchmark, chosen: Round) -> Iterator[str]:
    yield from measurement_problems(result, chosen)
    scenario = Scenario.named(result.scenario)
    if scenario is None or scenario not in rules.scenarios:
        return  # which is said of the benchmark
    yield from performance_problems(result, scenario, rules, chosen)
    yield from accuracy_problems(result, scenario, rules, chosen)
    if result.by.division != "open":
        yield from compliance_problems(result, scenario, rules, chosen)


def _official_name(name: str, mapping: dict[str, str], chosen: Round) -> str:
    """As the checker finds it: its own names and aliases come before model_mapping.json."""
    own = name.replace("llama3_1", "llama3.1")
    if own in chosen.benchmarks or name in chosen.reserved_names:
        return own
    return mapping.get(name, own)


def _mapping(by: Submitter) -> dict[str, str]:
    """Own names to official ones, where the open division has them."""
    if by.division != "open" or not by.model_mapping.is_file():
        return {}
    try:
        content = parse_json(read_bytes(by.model_mapping))
    except ValueError:
        return {}
    return {str(k): str(v) for k, v in content.items()} if isinstance(content, dict) else {}
