"""What each candidate is, and what was measured of it, one card each."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from build_engine.progress import size_text
from build_engine.store.spec import SHORT_KEY_LEN
from harness.report.html.cells import figure
from harness.report.html.page import Card, Fact

if TYPE_CHECKING:
    from build_engine.store.manifest import EngineManifest
    from harness.loadgen.metrics import Metrics
    from harness.report.candidate import Candidate
    from harness.rules.scenario import Scenario


def make_cards(candidates: Sequence[Candidate]) -> tuple[Card, ...]:
    """A card of each."""
    return tuple(
        Card(
            id=f"card-{number}",
            label=each.label,
            marks=tuple(each.marks),
            facts=tuple(_facts(each)),
            note=each.first.engine.precision.note if each.first.engine else "",
        )
        for number, each in enumerate(candidates, start=1)
    )


def _facts(candidate: Candidate) -> Iterator[Fact]:
    engine = candidate.first.engine
    if engine is not None:
        yield from _engine_facts(engine)
    peaks = [peak for each in candidate.results if (peak := each.peak_memory_bytes) is not None]
    if peaks and not candidate.first.is_emulated:
        yield Fact("Memory, at most", size_text(max(peaks)))
    for scenario in candidate.scenarios:
        metrics = candidate.metrics(scenario)
        if metrics:
            yield Fact(str(scenario), _measured(metrics, scenario))
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


def _engine_facts(engine: EngineManifest) -> Iterator[Fact]:
    precision, limits = engine.precision, engine.identity.limits
    yield Fact("Weights", precision.weights)
    yield Fact("Activations", precision.activations)
    yield Fact("KV cache", precision.kv_cache)
    target = engine.identity.target
    yield Fact("Target", f"{target.name}, computes in {target.compute}")
    yield Fact("Engine", f"{size_text(engine.size_bytes)}, key {engine.key[:SHORT_KEY_LEN]}")
    yield Fact("Limits", f"{limits.max_batch_size} at once, {limits.max_seq_len:,} tokens each")


def _measured(metrics: Sequence[Metrics], scenario: Scenario) -> str:
    """Medians over the tests of a scenario."""
    parts = []
    for field, unit in (("tokens_per_s", "tokens/s"), ("ttft_p99_s", ""), ("tpot_p99_s", "")):
        found = [value for each in metrics if (value := getattr(each, field)) is not None]
        if not found:
            continue
        middle = statistics.median(found)
        name = f"{field[:4].upper()} p99 "
        parts.append(f"{figure(middle)} {unit}" if unit else f"{name}{figure(middle * 1e3)} ms")
    tests = f"median of {len(metrics)} tests" if len(metrics) > 1 else "1 test"
    return f"{', '.join(parts)} ({tests})"
