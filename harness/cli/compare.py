"""`enginebench compare`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from build_engine.errors import EXIT_OK, EXIT_RESULT, UsageError
from build_engine.files import cannot_write, write_beside
from harness.cli.output import Output

if TYPE_CHECKING:
    from harness.report.comparison import Comparison, Pair

_STDOUT = Path("-")
_FILE = Parameter(allow_leading_hyphen=True)  # for "-" itself


def compare(
    runs: list[Path],
    *,
    baseline: str | None = None,
    fail_on: str | None = None,
    show: int = 0,
    simulated: bool = False,
    csv: Annotated[Path | None, _FILE] = None,
    markdown: Annotated[Path | None, _FILE] = None,
    json: bool = False,
) -> int:
    """Say how runs differ in speed, ROUGE, size and memory, and whether that is more than noise.

    Parameters
    ----------
    runs
        Run folders, or folders above some: a study, or all results. Runs of one configuration are
        taken together as repeats; where there is one configuration only, each run that is named is
        a side of its own.
    baseline
        What the others are held against: a candidate, by its recipe, its whole label or the folder
        of a run of it; the first when left out.
    fail_on
        Limits, as in throughput:-3%,rouge1:-1%: the exit code is 1 when a candidate is worse than
        the baseline by more, and 2 when a run there is broken or unfinished, or a candidate lacks
        a figure that the baseline has, so that nothing passes unseen. With % relative to the
        baseline, without it in the metric's unit: throughput (tokens/s), ttft_p50, ttft_p99,
        tpot_p50, tpot_p99, latency_p50, latency_p99 (ms), rouge1, rouge2, rougeL, rougeLsum
        (points), size, memory (MB).
    show
        How many of the answers that lose most are shown, with their texts.
    simulated
        Hold simulated runs against measured ones, too; they keep their mark.
    csv
        A file for every change as CSV; - for standard output.
    markdown
        A file for everything as Markdown; - for standard output.
    json
        Write the comparison to standard output as JSON.
    """
    from harness.report.compare import compare as compare_sides
    from harness.report.export import to_csv, to_markdown
    from harness.report.fail_on import checks_of, not_judged, parse_limits, require_whole
    from harness.report.failures import failures_of
    from harness.report.find import study_folders
    from harness.report.sides import baseline_of, sides_of
    from harness.runs.place import require_page_place

    out = Output(as_json=json)
    if [csv, markdown, _STDOUT if json else None].count(_STDOUT) > 1:
        raise UsageError("Standard output can take one of --json, --csv - and --markdown -.")
    for option, page in (("--csv", csv), ("--markdown", markdown)):
        if page is not None and page != _STDOUT:
            require_page_place(page, option)
    limits = parse_limits(fail_on) if fail_on is not None else ()
    sides, found = sides_of(runs)
    failures = failures_of(found, study_folders(runs))
    for failure in failures:
        out.say(f"Passed over: {failure}")
    if limits:
        require_whole(failures)
    first = baseline_of(sides, baseline, found.passed_over)
    comparison = compare_sides(sides, first, simulated=simulated)
    checks, unjudged = checks_of(comparison, limits), not_judged(comparison, limits)
    _say(out, comparison, show)
    for sentence in (*unjudged, *(check.sentence for check in checks)):
        out.say(sentence)
    if csv is not None:
        _write(out, csv, to_csv(comparison))
    if markdown is not None:
        _write(out, markdown, to_markdown(comparison, checks, (*failures, *unjudged)))
    failed = [check for check in checks if check.failed]
    out.result(
        {
            **comparison.model_dump(mode="json"),
            "checks": [check.model_dump(mode="json") for check in checks],
            "not_judged": unjudged,
            "passed_over": failures,
        }
    )
    if failed:
        out.advice(f"look at what differs, and repeat the runs if {failed[0].metric} is in doubt")
        return EXIT_RESULT
    out.next("report", *runs, "--baseline", first.label)
    return EXIT_OK


def _say(out: Output, comparison: Comparison, show: int) -> None:
    from harness.report.tables import tables_of

    for candidate in comparison.candidates:
        for doubt in candidate.doubts:
            out.say(f"NOTE: {doubt}")
    for pair in comparison.pairs:
        for note in pair.notes:
            out.say(f"NOT LIKE WITH LIKE, {pair.other} and {pair.baseline}: {note}")
    for label, why in comparison.pareto.left_out.items():
        out.say(f"{label} is left out of the Pareto front: {why}.")
    for table in tables_of(comparison):
        out.say()
        out.table(table.columns, table.rows, title=table.title)
    out.say()
    for pair in comparison.pairs:
        for sentence in pair.sentences:
            out.say(sentence)
        _say_answers(out, pair, show)


def _say_answers(out: Output, pair: Pair, show: int) -> None:
    """How many answers are the same, and the texts of those that lose most."""
    from harness.report.export import divergence_told

    if pair.divergence is None:
        return
    out.say(divergence_told(pair))
    for drop in pair.divergence.worst[: max(show, 0)]:
        out.say()
        parts = "" if drop.first_token is None else f", they part at token {drop.first_token}"
        out.say(
            f"Sample {drop.sample}: ROUGE-1 {drop.rouge1_baseline:.1f} to "
            f"{drop.rouge1_other:.1f}{parts}"
        )
        texts = {"reference": drop.reference, pair.baseline: drop.baseline, pair.other: drop.other}
        out.table(["whose", "text"], [[whose, text] for whose, text in texts.items()])


def _write(out: Output, path: Path, text: str) -> None:
    if path == _STDOUT:
        out.text(text)
        return
    try:
        write_beside(path, text)
    except OSError as error:
        raise cannot_write(path, error) from None
    out.say(f"Written: {path}")
