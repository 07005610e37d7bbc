"""`enginebench search`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from build_engine.errors import EXIT_OK, EXIT_RESULT
from build_engine.validation import counted
from harness.cli.options import FIELDS, words_on
from harness.cli.output import Output
from harness.runs.engine_choice import EngineChoice
from harness.search.choice import SearchChoice
from harness.streams import shell_word

if TYPE_CHECKING:
    from pathlib import Path

    from harness.progress import Progress
    from harness.search.outcome import ProbeOutcome, RuntimeLimits, Tail
    from harness.search.plan import SearchPlan
    from harness.search.record import SearchRecord, Start
    from harness.search.search import Search
    from harness.search.tuning import Tuning


def search(
    *,
    engine: Annotated[EngineChoice, FIELDS],
    choice: Annotated[SearchChoice, FIELDS],
    fresh: bool = False,
    dry_run: bool = False,
    json: bool = False,
) -> int:
    """Find the highest rate of Server or Interactive whose run is VALID, by short probes and whole
    runs near the edge; the same command goes on where it was stopped.

    Parameters
    ----------
    fresh
        Forget what was probed before.
    dry_run
        Say where it would begin and how long it takes.
    json
        Write what was found, and every probe, to standard output as JSON.
    """
    from harness.progress import make_progress
    from harness.search.plan import SearchPlan
    from harness.search.search import earlier_search, run_search
    from harness.studies.place import default_folder

    out = Output(as_json=json)
    progress = make_progress()
    try:
        plan = SearchPlan.of(choice, engine, progress)
        scenario = choice.asked_scenario
        named = default_folder("search", engine.model, engine.recipe, scenario.lower())
        folder = choice.output or named
        words = words_on(engine, choice)
        earlier = None if fresh else earlier_search(folder)
        _foretell(out, plan, earlier)
        if dry_run:
            out.result(_foretold(plan, folder, earlier))
            out.next("search", *words, *(["--fresh"] if fresh else []))
            return EXIT_OK
        command = " ".join(map(shell_word, ["enginebench", "search", *words]))
        table = _Table(progress)
        found = run_search(plan, folder, command, progress, table.row, fresh=fresh)
    finally:
        progress.close()
    _show(out, found, asked=choice.tune)
    _report(out, found, engine, choice)
    return EXIT_RESULT if found.best is None else EXIT_OK


class _Table:
    """A line for each probe, as soon as it ended."""

    _COLUMNS = "{:5}  {:>9}  {:>15}  {:>13}  {:>13}  {}"

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._begun = False

    def row(self, outcome: ProbeOutcome) -> None:
        """One of them."""
        if not self._begun:
            self._begun = True
            heads = ("probe", "queries/s", "queries", "TTFT p99, ms", "TPOT p99, ms", "")
            self._progress.note(self._COLUMNS.format(*heads).rstrip())
        of = "" if outcome.answered == outcome.queries else f"{outcome.answered:,} of "
        self._progress.note(
            self._COLUMNS.format(
                outcome.kind,
                f"{outcome.rate:,.4g}",
                f"{of}{outcome.queries:,}",
                _beside(outcome.ttft),
                _beside(outcome.tpot),
                outcome.verdict,
            )
        )


def _beside(tail: Tail) -> str:
    """What was measured, and the limit."""
    digits = 0 if tail.limit_s >= 0.2 else 1
    return f"{tail.p99_s * 1e3:,.{digits}f}/{tail.limit_s * 1e3:,g}"


def _foretell(out: Output, plan: SearchPlan, earlier: SearchRecord | None) -> None:
    """Where it begins, and how long it takes."""
    from harness.figures import duration

    start = _start(plan, earlier)
    takes_s, at_least = plan.expected_s(start.rate if start else None)
    begins = f"at {start.rate:.4g} queries/s ({start.source})" if start else "with a burst"
    more = " or more" if at_least else ""
    known = f"; {len(earlier.probes)} probes are there already" if earlier else ""
    out.say(
        f"The search begins {begins} and takes about {duration(takes_s)}{more}, beside loading the "
        f"engine for each probe{known}."
    )


def _foretold(plan: SearchPlan, folder: Path, earlier: SearchRecord | None) -> dict[str, object]:
    """The same as plain JSON values."""
    start = _start(plan, earlier)
    takes_s, at_least = plan.expected_s(start.rate if start else None)
    return {
        "folder": str(folder),
        "start": start.model_dump(mode="json") if start else None,
        "expected_s": takes_s,
        "at_least": at_least,
        "num_probes": len(earlier.probes) if earlier else 0,
    }


def _start(plan: SearchPlan, earlier: SearchRecord | None) -> Start | None:
    return plan.start_after(earlier.start if earlier else None)


def _show(out: Output, found: Search, *, asked: bool) -> None:
    best = found.best_probe
    out.say()
    if best is None:
        lowest = min(found.probes, key=lambda probe: probe.rate)
        out.say(
            f"No rate is VALID: {lowest.rate:.4g} queries/s was the lowest that was tried, with "
            f"TTFT {_beside(lowest.ttft)} ms and TPOT {_beside(lowest.tpot)} ms at p99."
        )
    else:
        out.say(
            f"Highest rate: {best.rate:.5g} queries/s, by a whole run with TTFT "
            f"{_beside(best.ttft)} ms and TPOT {_beside(best.tpot)} ms at p99."
        )
        if found.record.limited:
            out.say("No higher rate was allowed; --highest allows one.")
        out.say(f"Its run is {found.best}")
        _show_tuning(out, found, best, asked=asked)
    out.result(
        {
            "folder": str(found.folder),
            "qps": best.rate if best else None,
            "limited": found.record.limited,
            "run": str(found.best) if found.best else None,
            "tuning": found.record.tuning.model_dump(mode="json") if found.record.tuning else None,
            "probes": [probe.model_dump(mode="json") for probe in found.probes],
        }
    )


def _show_tuning(out: Output, found: Search, best: ProbeOutcome, *, asked: bool) -> None:
    """What other limits of the scheduler brought, where that was asked for."""
    tuning = found.record.tuning
    if tuning is None:
        if asked:
            out.say("There are no other limits of the scheduler that this executor could be given.")
        return
    if not tuning.told_apart:
        out.say(
            f"Of {counted(len(tuning.tried), 'other setting')} of the scheduler none can be told "
            f"from the engine's own ({tuning.own}): the best has "
            f"{100 * tuning.load:.1f} % of its load, where equal probes differ by "
            f"{100 * tuning.doubt:.1f} %."
        )
    elif best.limits is None:
        out.say(f"{_sentence(tuning)}, but no run with them was VALID at a higher rate.")
    else:
        own = max(p.rate for p in found.probes if p.valid and p.limits is None)
        out.say(
            f"{_sentence(tuning)}: its run has {best.limits}, and its rate is "
            f"{100 * (best.rate / own - 1):.1f} % above that of the engine's own ({own:.5g})."
        )


def _sized(words: list[str], limits: RuntimeLimits) -> list[str]:
    """The words for an engine of these sizes."""
    for field, value in limits.model_dump().items():
        option = "--" + field.replace("_", "-")
        if option in words:
            at = words.index(option)
            del words[at : at + 2]
        words = [*words, option, str(value)]
    return words


def _sentence(tuning: Tuning) -> str:
    return (
        f"{str(tuning.best).capitalize()} had {100 * tuning.load:.0f} % of the load of the "
        f"engine's own {tuning.own}"
    )


def _report(out: Output, found: Search, engine: EngineChoice, choice: SearchChoice) -> None:
    """The page where there is a result, and what to do with the rate."""
    from harness.report.html.report import write_report
    from harness.studies.place import REPORT

    best = found.best_probe
    if best is None:
        out.advice("choose a recipe with fewer bits, or another target")
        return
    page = write_report([found.folder], found.folder / REPORT)
    out.say(f"The report, for a browser: {page}")
    words = words_on(engine, choice)
    own = {"--output": 1, "--qps": 1, "--highest": 1, "--tolerance": 1, "--tune": 0}
    for option, values in own.items():
        if option in words:
            at = words.index(option)
            del words[at : at + 1 + values]
    if best.limits is not None:  # an engine that is built for them has them wherever it is loaded
        words = _sized(words, best.limits)
    out.next("run", *words, "--qps", f"{best.rate:g}")
