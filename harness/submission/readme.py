"""The README.md files of a submission: how a result came about, and how to repeat it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.rules.rounds import Round
from harness.submission.runs import PackableRun

UNOFFICIAL = (
    "Unofficial until MLCommons has published it: a result that was not verified by MLCommons "
    "must be called so wherever it is shown."
)


def result_readme(run: PackableRun, chosen: Round) -> str:
    """Of one scenario."""
    content, engine = run.content, run.engine
    lines = [
        f"# {run.benchmark}, {run.scenario}",
        "",
        UNOFFICIAL,
        "",
        *_nature(run),
        f"Round {chosen.name}; LoadGen {content['versions']['mlcommons-loadgen']}.",
        "",
        "## Engine",
        "",
        f"- Model: {engine['model']['name']}, checkpoint sha256 {engine['identity']['checkpoint']}",
        f"- Recipe: {engine['identity']['recipe']['name']}",
        f"- Target: {engine['identity']['target']['name']}",
        f"- Limits: {_listed(engine['identity']['limits'])}",
        f"- Libraries: {_listed(engine['identity']['backend']['libraries'])}",
        f"- Key: {engine['key']}",
        "",
        "## How to repeat it",
        "",
        "```",
        content["command"],
        "```",
        "",
        "The code is in the submission's source folder, with its own README.md. The dataset "
        f"`{content['dataset'].get('source', 'unknown')}` has {content['num_samples']:,} samples; "
        f"sha256 of prompt ids and references: {content['dataset']['digest']}.",
        "",
        "## Result",
        "",
        *_figures(content),
        "",
    ]
    return "\n".join(lines)


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
    marks = ", ".join(run.content["marks"]) or "other data"
    return [
        f"This is not the MLPerf benchmark {run.official} ({marks}): it is the workload "
        f"{run.content['workload']}, submitted under the same rules of measurement.",
        "",
    ]


def _figures(content: Mapping[str, Any]) -> list[str]:
    primary = content["tests"]["performance"]["primary"]
    lines = [f"- {primary['key']}: {primary['value']:g} {primary['unit']}"]
    metrics = content["tests"]["performance"]["metrics"]
    for name in ("ttft_p99_s", "tpot_p99_s", "latency_p90_s"):
        if name in metrics:
            lines.append(f"- {name.replace('_', ' ').removesuffix(' s')}: {metrics[name]:g} s")
    scores = content["accuracy"]["scores"]
    lines.append("- " + ", ".join(f"{name} {value:.10g}" for name, value in scores.items()))
    return lines


def _listed(fields: Mapping[str, Any]) -> str:
    return ", ".join(f"{key} {value}" for key, value in fields.items())
