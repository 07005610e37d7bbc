"""The README.md files of a submission: how a result came about, and how to repeat it."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from harness.rules.rounds import Round
from harness.submission.declared import facts
from harness.submission.runs import PackableRun

if TYPE_CHECKING:
    from collections.abc import Mapping

    from build_engine.store.manifest import EngineManifest
    from harness.runs.record import RunRecord

UNOFFICIAL = (
    "Unofficial until MLCommons has published it: a result that was not verified by MLCommons "
    "must be labelled unofficial wherever it is shown."
)


def result_readme(run: PackableRun, chosen: Round) -> str:
    """Of one scenario."""
    record = run.record
    lines = [
        f"# {run.benchmark}, {run.scenario}",
        "",
        UNOFFICIAL,
        "",
        *_nature(run),
        f"Round {chosen.name}; LoadGen {record.versions['mlcommons-loadgen']}.",
        "",
        "## Engine",
        "",
        *(_engine(run.engine) if run.served is None else facts(run.served)),
        "",
        "## How to repeat it",
        "",
        "```",
        record.command,
        "```",
        "",
        "The code is in the submission's source folder, with its own README.md. The dataset "
        f"`{record.dataset.source}` has {record.num_samples:,} samples; "
        f"sha256 of prompt ids and references: {record.dataset.digest}.",
        "",
        "## Result",
        "",
        *_figures(record),
        "",
    ]
    return "\n".join(lines)


def _engine(engine: EngineManifest) -> list[str]:
    identity = engine.identity
    return [
        f"- Model: {engine.model.name}, checkpoint sha256 {identity.checkpoint}",
        f"- Recipe: {identity.recipe.name}",
        f"- Target: {identity.target.name}",
        f"- Limits: {_listed(asdict(identity.limits))}",
        f"- Libraries: {_listed(identity.backend.libraries)}",
        f"- Key: {engine.key}",
    ]


def source_readme() -> str:
    """Of the source folder."""
    return (
        "# enginebench\n\nThe code that built the engine, drove LoadGen and scored the answers.\n\n"
        "Put the folder `enginebench` on PYTHONPATH, install the libraries that the README.md of "
        "each result names, and run the command given there; without an installed `enginebench`, "
        "`python -c 'from harness.cli.main import main; main()'` stands for it. Weights are not "
        "included.\n"
    )


def _nature(run: PackableRun) -> list[str]:
    if run.benchmark == run.official:
        return []
    marks = ", ".join(run.record.marks) or "other data"
    return [
        f"This is not the MLPerf benchmark {run.official} ({marks}): it is the workload "
        f"{run.record.workload.name}, submitted under the same rules of measurement.",
        "",
    ]


def _figures(record: RunRecord) -> list[str]:
    test, accuracy = record.tests.performance, record.accuracy
    assert test is not None and test.primary is not None and test.metrics is not None
    assert accuracy is not None, "a run that may be packed has both tests"
    lines = [f"- {test.primary.key}: {test.primary.value:g} {test.primary.unit}"]
    if test.load and test.load.busy:
        lines.append(f"- {test.load.busy}")
    metrics = test.metrics
    shown = {
        "ttft p99": metrics.ttft_p99_s,
        "tpot p99": metrics.tpot_p99_s,
        "latency p90": metrics.latency_p90_s,
    }
    lines += [f"- {name}: {value:g} s" for name, value in shown.items() if value is not None]
    scores = asdict(accuracy.scores).items()
    lines.append("- " + ", ".join(f"{name} {value:.10g}" for name, value in scores))
    return lines


def _listed(fields: Mapping[str, Any]) -> str:
    return ", ".join(f"{key} {value}" for key, value in fields.items())
