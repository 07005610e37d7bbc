"""`enginebench scaling`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from build_engine.errors import EXIT_FAILED, EXIT_OK
from harness.cli.options import FIELDS, words_on
from harness.cli.output import Output
from harness.runs.engine_choice import EngineChoice
from harness.streams import shell_word
from harness.studies.scaling import ScalingChoice, ScalingRecord, ScalingStep

if TYPE_CHECKING:
    from runtime.executor import ReplicaLoad

_USUAL = ScalingChoice()


def scaling(
    *,
    engine: Annotated[EngineChoice, FIELDS],
    choice: Annotated[ScalingChoice, FIELDS] = _USUAL,
    json: bool = False,
) -> int:
    """Measure Offline with one replica of an engine and with more, and say what each brings.

    Parameters
    ----------
    json
        Write scaling.json to standard output.
    """
    from harness.progress import make_progress
    from harness.studies.place import default_folder
    from harness.studies.scaling import run_scaling

    out = Output(as_json=json)
    folder = choice.output or default_folder("scaling", engine.model)
    words = ["enginebench", "scaling", *words_on(engine, choice)]
    progress = make_progress()
    try:
        command = " ".join(map(shell_word, words))
        record = run_scaling(engine, choice, folder, command, progress)
    finally:
        progress.close()
    _show(out, record)
    out.say(f"Results are in {folder}")
    out.result(record.to_json())
    failed = [step for step in record.steps if step.status != "complete"]
    if failed:
        out.advice("mend the causes above, and run again with another --output")
        return EXIT_FAILED
    out.next("report", folder)
    return EXIT_OK


def _show(out: Output, record: ScalingRecord) -> None:
    out.say()
    out.table(
        [
            *("replicas", "tokens/s", "efficiency", "requests\neach", "busy\neach"),
            *("dispatch\np99 ms", "head\nbusy"),
        ],
        [_cells(step) for step in record.steps],
    )
    first = record.steps[0]
    if first.replicas > 1:
        out.say(f"Efficiency is against one of {first.replicas} replicas.")
    known = [saturation for step in record.steps if (saturation := step.saturation) is not None]
    if known:
        out.say(max(known, key=lambda each: each.busy_share).sentence)
    for step in record.steps:
        if step.cause:
            out.say(f"{step.replicas} replicas: {step.status}: {step.cause}")


def _cells(step: ScalingStep) -> list[str]:
    p99_s = step.told.dispatch_p99_s
    return [
        str(step.replicas),
        "-" if step.tokens_per_s is None else f"{step.tokens_per_s:,.0f}",
        "-" if step.efficiency is None else f"{step.efficiency:.1%}",
        _span([load.requests for load in step.loads], ",d"),
        _busy(step.loads),
        "-" if p99_s is None else f"{p99_s * 1e3:,.1f}",
        "-" if step.saturation is None else f"{step.saturation.busy_share:.1%}",
    ]


def _busy(loads: tuple[ReplicaLoad, ...]) -> str:
    """Of the time in which any replica had something to do."""
    longest = max((load.busy_s for load in loads), default=0.0)
    return _span([load.busy_s / longest for load in loads] if longest else [], ".0%")


def _span(values: list[float] | list[int], form: str) -> str:
    if not values:
        return "-"
    low, high = min(values), max(values)
    return f"{low:{form}}" if low == high else f"{low:{form}} to {high:{form}}"
