"""`enginebench build`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from harness.cli.here import builds_here
from harness.cli.options import FIELDS
from harness.cli.output import Output
from harness.runs.engine_choice import EngineChoice

if TYPE_CHECKING:
    from build_engine.planned import PlannedBuild
    from build_engine.store.manifest import Precision
    from harness.progress import Progress
    from harness.rules.workload import Workload


def build(
    *,
    engine: Annotated[EngineChoice, FIELDS],
    workload: str = "newsbrief",
    stage: Literal["quantise"] | None = None,
    dry_run: bool = False,
    json: bool = False,
) -> None:
    """Build an engine from a checkpoint, once; a built one is found at once.

    Parameters
    ----------
    workload
        Whose lengths the engine is built for, and whose prompt calibration articles are put in.
    stage
        Stop after this stage: `quantise` makes the checkpoint that a GPU engine is compiled from,
        which needs no GPU.
    dry_run
        Show the sizes of the engine, the command that would compile it and what it would be loaded
        with, and why each value is as it is; needs no GPU. Nothing is built.
    json
        Write the engine's manifest (or the plan) to standard output.
    """
    from harness.dataset.sources import bundled
    from harness.figures import duration
    from harness.progress import make_progress
    from harness.rules.scenario import Scenario
    from harness.rules.workload import load_workload

    out = Output(as_json=json)
    rules = load_workload(workload)
    progress = make_progress()
    if stage is not None and not dry_run:
        _quantise(engine, rules, workload, progress, out)
        return
    try:
        if dry_run:
            _show_plan(engine.plan(rules, progress), out)
            _next_build(out, engine, workload)
            return
        built = engine.build(rules, progress)
    finally:
        progress.close()
    manifest = built.manifest
    out.say(f"{built.folder}")
    out.say(
        f"{'emulated, ' if built.emulated else ''}"
        f"{built.size_bytes / 1e6:,.1f} MB; {_precision(manifest.precision)}; built in "
        f"{duration(manifest.build.duration_s)} on {manifest.build.host}"
    )
    out.result({"folder": str(built.folder), **manifest.to_json()})
    if built.limits.tensor_parallel > 1:  # no executor of ours takes it
        out.next("engines", "show", built.key[:12])
        return
    trial = ["--workload", workload, "--scenario", Scenario.OFFLINE, "--count", 200]
    trial += ["--mode", "accuracy"] if built.emulated else []
    if rules.name == bundled.NAME:
        out.next("run", *engine.options, *trial)
    else:
        command = out.command("run", *engine.options, *trial, "--dataset", "FILE")
        out.advice(f"run it on articles, a FILE of 200 or more: {command}")


def _show_plan(plan: PlannedBuild, out: Output) -> None:
    import shlex
    from dataclasses import asdict

    out.say(plan.title)
    for note in plan.notes:
        out.say(f"  {note}")
    columns = ["flag" if plan.command else "size", "value", "why"]
    out.table(columns, [(item.flag, item.value, item.reason) for item in plan.settings])
    if plan.expected:
        out.say("The engine must then say of itself:")
    for item in plan.expected:
        out.say(f"  {item.field} = {' or '.join(map(str, item.values))}")
    loaded = [(item.flag, item.value, item.reason) for item in plan.execution]
    out.table(["loaded with", "value", "why"], loaded)
    if plan.command:
        out.say(shlex.join(plan.command))
    out.result({"command": plan.command, **asdict(plan)})


def _quantise(
    engine: EngineChoice, rules: Workload, workload: str, progress: Progress, out: Output
) -> None:
    """The first stage alone."""
    try:
        folder = engine.quantise(rules, progress)
    finally:
        progress.close()
    out.say(f"{folder}")
    out.result({"folder": str(folder)})
    _next_build(out, engine, workload)


def _next_build(out: Output, engine: EngineChoice, workload: str) -> None:
    """The build itself, which this machine may not be for."""
    words = ("build", *engine.options, "--workload", workload)
    if builds_here(engine):
        out.next(*words)
    else:
        out.advice(f"in the container, on a machine with that GPU: {out.command(*words)}")


def _precision(precision: Precision) -> str:
    return (
        f"weights {precision.weights}, activations {precision.activations}, "
        f"kv cache {precision.kv_cache}"
    )
