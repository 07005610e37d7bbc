"""What `doctor --measure` shows: the peaks of this machine's CPU, and what steps cost on it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from build_engine.errors import EXIT_OK, EnvironmentFault
from build_engine.progress import size_text

if TYPE_CHECKING:
    from harness.cli.output import Output
    from harness.machine.measured import MeasuredPeaks, Measurement


def show_measured(out: Output, *, fresh: bool) -> int:
    """The measurement of this machine, made now where there is none that can be used, or `fresh`
    asks for it.
    """
    from harness.doctor.measure import measure
    from harness.machine.measured import read_measured
    from harness.progress import make_progress
    from harness.runs.run import now_utc

    found: MeasuredPeaks | None = None
    if not fresh:
        try:
            found = read_measured()
        except EnvironmentFault as problem:
            out.say(f"{str(problem).partition(';')[0]}; it is measured anew.")
    if found is None:
        progress = make_progress()
        try:
            found = measure(progress, now_utc())
        finally:
            progress.close()
        found.keep()
    _show(out, found)
    out.result(found.to_json())
    out.next("plan", "--model", "newsbrief", "--target", "cpu")
    return EXIT_OK


def _show(out: Output, found: MeasuredPeaks) -> None:
    here = found.fingerprint
    out.say(
        f"Measured on {found.measured_utc[:16].replace('T', ' ')} UTC: {here.cpu}, "
        f"{here.num_cpus} CPUs, last cache {size_text(here.cache_bytes)}, kept in {here.place} "
        "(--fresh measures anew)"
    )
    rows = [
        [f"{each.weights} weights in {each.arithmetic}", f"{each.rows:,}", *_spread(each.flops)]
        for each in found.products
    ]
    out.table(["products", "rows", "TFLOP/s", "median, worst"], rows)
    best, others = _spread(found.read_bytes_per_s, 1e9, 1)
    out.say(f"Memory is read at {best} GB/s (median, worst: {others}).")
    steps = found.steps
    out.say(
        f"A step costs {steps.iteration_s * 1e6:,.0f} us, and {steps.layer_s * 1e6:,.0f} us a "
        f"layer; each answer in it {steps.answer_s * 1e6:,.1f} us and {steps.logit_s * 1e9:,.2f} "
        f"ns a logit; each token {steps.element_s * 1e9:,.2f} ns for an element of a layer, and "
        f"each element of the KV cache {steps.cached_s * 1e9:,.3f} ns, beside arithmetic and "
        "traffic."
    )
    if found.busy:
        out.say(f"{found.busy[:1].upper()}{found.busy[1:]}; measure anew when it is quiet: --fresh")


def _spread(measured: Measurement, unit: float = 1e12, digits: int = 3) -> list[str]:
    """The best, then the others."""
    best, median, worst = (
        f"{value / unit:,.{digits}f}" for value in (measured.best, measured.median, measured.worst)
    )
    return [best, f"{median}, {worst}"]
