"""`enginebench sweep`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from build_engine.errors import EXIT_FAILED, EXIT_OK, Interrupted
from harness.cli.options import FIELDS, words_of
from harness.cli.output import Output
from harness.streams import shell_word
from harness.studies.choice import SweepChoice

if TYPE_CHECKING:
    from harness.progress import Progress
    from harness.studies.forecast import EngineForecast
    from harness.studies.rows import SweepRow
    from harness.studies.sweep import Sweep, SweepPlan


def sweep(
    *,
    choice: Annotated[SweepChoice, FIELDS],
    output: Path | None = None,
    fresh: bool = False,
    dry_run: bool = False,
    json: bool = False,
) -> int:
    """Measure several recipes of a model in turn, and compare them; what is finished is not
    repeated when the same command is given again.

    Parameters
    ----------
    output
        Where the runs go: results/sweep-MODEL when left out.
    fresh
        Remove what was measured there before, and measure everything.
    dry_run
        Show what would be built and run, with its disk and time as far as they are known.
    json
        Write the rows of the table (or the plan) to standard output as JSON.
    """
    from harness.progress import make_progress
    from harness.studies.place import check_study_folder, default_folder
    from harness.studies.sweep import SweepPlan, run_sweep

    out = Output(as_json=json)
    folder = output or default_folder("sweep", choice.model)
    progress = make_progress()
    try:
        check_study_folder(folder, choice.dataset)
        plan = SweepPlan.of(choice, progress)
        if dry_run:
            _show_plan(out, plan, folder, progress, fresh=fresh)
            out.next("sweep", *_words(choice, output), *(["--fresh"] if fresh else []))
            return EXIT_OK
        command = " ".join(map(shell_word, ["enginebench", "sweep", *_words(choice, output)]))
        finished = run_sweep(plan, folder, command, progress, fresh=fresh)
    finally:
        progress.close()
    try:
        _show(out, finished)
        _report(out, finished)
    except KeyboardInterrupt:
        raise Interrupted(
            f"Interrupted; the runs are in {folder}.", ["report", str(folder)]
        ) from None
    return EXIT_FAILED if finished.failed else EXIT_OK


def _words(choice: SweepChoice, output: Path | None) -> list[str]:
    """The options that make this choice again."""
    return [*words_of(choice), *([] if output is None else ["--output", str(output)])]


def _show_plan(
    out: Output, plan: SweepPlan, folder: Path, progress: Progress, *, fresh: bool
) -> None:
    from dataclasses import asdict

    from build_engine.progress import size_text
    from harness.figures import duration
    from harness.studies.forecast import forecast, num_left, total_left_s

    engines = forecast(plan, folder, progress, fresh=fresh)
    out.table(
        ["engine", "built", "size", "runs", "to do", "time"],
        [
            [
                each.engine,
                "no: see below" if each.problem else "yes" if each.built else "not yet",
                _size(each.size_bytes, built=each.built),
                str(each.num_runs),
                str(each.num_left),
                _time(each),
            ]
            for each in engines
        ],
    )
    for each in engines:
        if each.problem:
            out.say(f"{each.engine} will be recorded as failed: {each.problem}")
    left_s = total_left_s(engines)
    missing = [each.size_bytes for each in engines if not each.built and not each.problem]
    known = size_text(sum(size or 0 for size in missing))
    time, beside = "a time that no earlier run tells of", "the builds"
    if left_s is not None:
        time = duration(left_s)
        if any(each.by_plan for each in engines):
            time = f"about {time} by the plans of the engines (answers as long as they may be)"
            beside = "builds, loading and warming up"
    out.say(
        f"{num_left(engines)} runs to do, in {time}, beside {beside}; engines that are not built "
        f"take about {known} of disk{', and some an unknown size' if None in missing else ''}."
    )
    out.say("Order: " + ", ".join(_order(plan)))
    out.result(
        {
            "folder": str(folder),
            "engines": [asdict(each) for each in engines],
            "points": [point.model_dump(mode="json") for point in plan.asked_points],
        }
    )


def _time(engine: EngineForecast) -> str:
    from harness.figures import duration

    if engine.left_s is None:
        return "unknown"
    return duration(engine.left_s) + (" + loading" if engine.by_plan else "")


def _order(plan: SweepPlan) -> list[str]:
    """The first round's points, and how often it goes round."""
    first = [f"{point.engine} {point.scenario}" for point in plan.asked_points if point.repeat == 1]
    times = plan.choice.repeats
    return first if times == 1 else [*first, f"and so {times} times"]


def _size(size_bytes: int | None, *, built: bool) -> str:
    from build_engine.progress import size_text

    if size_bytes is None:
        return "-"
    return size_text(size_bytes) if built else f"about {size_text(size_bytes)}"


def _show(out: Output, finished: Sweep) -> None:
    from harness.studies.rows import rows_of

    rows = rows_of(finished)
    out.say()
    out.table(
        [
            "engine",
            "scenario",
            "tokens/s,\nmean",
            "lowest to\nhighest",
            "TTFT ms\np50/p99",
            "TPOT ms\np50/p99",
            "ROUGE-1",
        ],
        [_cells(row) for row in rows],
    )
    if any(len(row.tokens_per_s) > 1 for row in rows):
        out.say("Figures of several tests are their geometric means, as in the report.")
    if any(row.busy for row in rows):
        out.say("* measured while other programs took part of the machine")
    for (said, *rules), engines in _verdicts(rows).items():
        out.say(f"{' and '.join(engines)}: {said} because")
        for rule in rules:
            out.say(f"  {rule}")
    for point in finished.failed:
        out.say(f"{point.engine} {point.scenario} failed: {point.cause}")
    out.result(
        {
            "folder": str(finished.folder),
            "rows": [row.model_dump(mode="json") for row in rows],
            "failed": [point.model_dump(mode="json") for point in finished.failed],
        }
    )


def _report(out: Output, finished: Sweep) -> None:
    """The page, where anything was measured."""
    from harness.report.html.report import write_report
    from harness.studies.place import REPORT

    if finished.runs:
        page = write_report([finished.folder], finished.folder / REPORT)
        out.say(f"The report, for a browser: {page}")
        if len(finished.runs) > 1:
            out.next("compare", finished.folder)
        else:
            out.advice(f"open {page.absolute().as_uri()} in a browser")
    else:
        out.advice("mend the causes above, and give the same command again")


def _verdicts(rows: list[SweepRow]) -> dict[tuple[str, ...], list[str]]:
    """What failed, and of which engines and scenarios: often the same of several."""
    found: dict[tuple[str, ...], list[str]] = {}
    for row in rows:
        if len(row.verdict) > 1:
            found.setdefault(row.verdict, []).append(f"{row.engine} {row.scenario}")
    return found


def _cells(row: SweepRow) -> list[str]:
    rates, metrics = row.tokens_per_s, row.metrics
    mark = "*" if row.busy else ""
    return [
        row.engine,
        str(row.scenario),
        "-" if metrics.tokens_per_s is None else f"{metrics.tokens_per_s:,.0f}{mark}",
        f"{min(rates):,.0f} to {max(rates):,.0f}" if len(rates) > 1 else "-",
        _pair(metrics.ttft_p50_s, metrics.ttft_p99_s),
        _pair(metrics.tpot_p50_s, metrics.tpot_p99_s),
        f"{row.accuracy.rouge1:.2f}" if row.accuracy else "-",
    ]


def _pair(first_s: float | None, second_s: float | None) -> str:
    if first_s is None or second_s is None:
        return "-"
    return f"{first_s * 1e3:,.1f}/{second_s * 1e3:,.1f}"
