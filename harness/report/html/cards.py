"""What each candidate is, and what was measured of it, one card each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from build_engine.progress import size_text
from build_engine.store.spec import SHORT_KEY_LEN
from harness.report.html.cells import figure
from harness.report.html.page import Card, Fact
from harness.report.metrics import METRICS
from harness.runs.declared import DECLARABLE

if TYPE_CHECKING:
    from build_engine.store.manifest import EngineManifest
    from harness.report.candidate import Candidate
    from harness.report.comparison import CandidateSummary
    from harness.rules.scenario import Scenario
    from harness.runs.served import Served
    from harness.runs.simulated import SimulatedEngine


def make_cards(
    candidates: Sequence[Candidate], summaries: Sequence[CandidateSummary]
) -> tuple[Card, ...]:
    """A card of each, with the figures of its summary."""
    return tuple(
        Card(
            id=f"card-{number}",
            label=each.label,
            marks=tuple(each.marks),
            facts=tuple(_facts(each, summary)),
            note=each.first.engine.precision.note if each.first.engine else "",
        )
        for number, (each, summary) in enumerate(zip(candidates, summaries, strict=True), start=1)
    )


def _facts(candidate: Candidate, summary: CandidateSummary) -> Iterator[Fact]:
    engine, simulated = candidate.first.engine, candidate.first.record.simulated
    if engine is not None:
        yield from _engine_facts(engine, emulated=candidate.first.is_emulated)
    if simulated is not None:
        yield from _simulated_facts(simulated)
    memory, served = summary.figure("memory"), candidate.first.record.served
    if served is not None:
        yield from _served_facts(served)
    if memory is not None:
        yield Fact("Memory, at most", f"{figure(memory.value)} MB")
    for scenario in candidate.scenarios:
        if measured := _measured(summary, scenario):
            yield Fact(str(scenario), measured)
        yield from _limit_facts(candidate, scenario)
    if candidate.accuracy is not None:
        scores = candidate.accuracy.scores
        yield Fact(
            "ROUGE 1, 2, L",
            f"{scores.rouge1:.2f}, {scores.rouge2:.2f}, {scores.rougeL:.2f} over "
            f"{scores.gen_num:,} answers",
        )
        if candidate.accuracy.gates:
            passed = "passed" if candidate.accuracy.passed else "missed"
            yield Fact("Accuracy gates", f"{passed} (of the workload's reference)")
    if candidate.busy:
        loads = (test.load for result in candidate.results for test in result.tests)
        most = max(load.taken for load in loads if load is not None)
        yield Fact(
            "Busy machine",
            f"{len(candidate.busy)} tests beside other work, which took up to {most:.0%} of the "
            f"CPUs",
        )


def _limit_facts(candidate: Candidate, scenario: Scenario) -> Iterator[Fact]:
    """How close a run of a scenario came to the limits of its machine."""
    limits = candidate.limits(scenario)
    if limits is None:
        if (reason := candidate.no_limits(scenario)) is not None:
            yield Fact(f"{scenario}, of the limit", f"not known: {reason}")
        return
    for part in limits.parts:
        name = "" if part.name == "all" else f", {part.name}"
        yield Fact(f"{scenario}, of the limit{name}", part.sentence)
    yield Fact(f"{scenario}, limits by", limits.inputs.sentence)


def _engine_facts(engine: EngineManifest, *, emulated: bool) -> Iterator[Fact]:
    precision, limits = engine.precision, engine.identity.limits
    yield Fact("Weights", precision.weights)
    yield Fact("Activations", precision.activations)
    yield Fact("KV cache", precision.kv_cache)
    target = engine.identity.target
    where = ", emulated on a CPU" if emulated else ""
    yield Fact("Target", f"{target.name}{where}, computes in {target.compute}")
    yield Fact("Engine", f"{size_text(engine.size_bytes)}, key {engine.key[:SHORT_KEY_LEN]}")
    yield Fact("Limits", f"{limits.max_batch_size} at once, {limits.max_seq_len:,} tokens each")


def _simulated_facts(simulated: SimulatedEngine) -> Iterator[Fact]:
    """What a time model stood for."""
    limits = simulated.limits
    yield Fact("Target", f"{simulated.target}, simulated")
    yield Fact("Limits", f"{limits.max_batch_size} at once, {limits.max_seq_len:,} tokens each")
    yield Fact("Time model", f"{simulated.peaks}; {simulated.efficiencies}")


def _served_facts(served: Served) -> Iterator[Fact]:
    """What its user declares, what it says of itself, and what nobody knows."""
    for name in DECLARABLE:
        if name in served.declared:
            yield Fact(f"Declared {name.replace('_', ' ')}", served.declared[name])
    for server in served.servers:
        told = {
            "lists": ", ".join(server.models),
            "version": server.version,
            "header": server.server,
            "fingerprint": server.fingerprint,
        }
        said = "; ".join(f"{name} {value}" for name, value in told.items() if value)
        yield Fact(f"{server.place} says", said or "nothing of itself")
    ids = "as it told them" if served.way.ids != "text" else "by the tokenizer, over its text"
    yield Fact("Tokens counted", ids)
    if "precision" not in served.declared:
        yield Fact("Weights", "not known")
    yield Fact("Engine size, memory", "not known")


def _measured(summary: CandidateSummary, scenario: Scenario) -> str:
    """Geometric means over the tests of a scenario; "" where none was measured."""
    parts, num_tests = [], 0
    for name in ("throughput", "ttft_p99", "tpot_p99"):
        found = summary.figure(name, scenario)
        if found is None:
            continue
        num_tests = len(found.values)
        metric = METRICS[name]
        title = "" if metric.higher_is_better else f"{metric.title} "
        parts.append(f"{title}{figure(found.value)} {metric.unit}")
    tests = f"mean of {num_tests} tests" if num_tests > 1 else "1 test"
    return f"{', '.join(parts)} ({tests})" if parts else ""
