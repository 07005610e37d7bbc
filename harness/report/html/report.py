"""A report: runs, wherever they lie, as one HTML page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path

from build_engine.errors import UsageError
from build_engine.files import cannot_write, write_beside
from build_engine.libraries import installed_version
from build_engine.validation import counted
from harness.report.candidate import Candidate, candidates_of
from harness.report.compare import compare
from harness.report.comparison import TEXTS
from harness.report.failures import failures_of
from harness.report.find import Found, find_runs, study_folders
from harness.report.html.cards import make_cards
from harness.report.html.drops import make_drops
from harness.report.html.outcome import compared_scenario, outcomes_of
from harness.report.html.page import Page
from harness.report.html.provenance import (
    commands,
    invalid_tests,
    machines_table,
    manifests,
    tests_table,
)
from harness.report.html.recommendation import recommend
from harness.report.html.render import render
from harness.report.html.scaling import scaling_failures, scaling_folders, scaling_groups
from harness.report.html.searches import search_failures, search_folders, search_groups
from harness.report.html.sections import make_groups
from harness.report.html.stamps import make_stamps
from harness.report.html.verdicts import verdicts_table, warnings_of
from harness.report.sides import baseline_of, candidates_in

_MOST_BYTES = 950_000
# The page has them once already, where people read them.
_TEXTS = {"pairs": {"__all__": {"divergence": {"worst": {"__all__": set(TEXTS)}}}}}


def write_report(paths: Sequence[Path], output: Path, baseline: str | None = None) -> Path:
    """Write the report of every complete run in `paths` (folders of runs, of studies, or any above
    them) to `output`, whose folder is made where it is missing; `output`. `baseline` is as for
    `baseline_of`; when None it is the first candidate that is not quantised. Simulated runs among
    measured ones are shown as such, and not held against these.

    Raises UsageError where there is no complete run or no such baseline, OutputError where it
    cannot be written.
    """
    found = find_runs(paths)
    found.require_named()
    if not found.results:
        raise UsageError(f"None of these runs has a result: {found.passed_over[0].reason}")
    html = render(make_page(found, paths, baseline))
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        write_beside(output, html)
    except OSError as error:
        raise cannot_write(output, error) from None
    return output


def make_page(found: Found, paths: Sequence[Path], named: str | None = None) -> Page:
    """The page of these results, found in `paths`; `named` is the baseline."""
    results = found.results
    candidates = candidates_of(results) if named is None else candidates_in(paths, found)
    baseline = _baseline(found, candidates, named)
    candidates = (baseline, *(each for each in candidates if each is not baseline))
    comparison = compare(candidates, baseline, simulated=True)
    scenarios = [each for candidate in candidates for each in candidate.scenarios]
    outcomes = outcomes_of(comparison, compared_scenario(comparison, scenarios))
    advice, searches = recommend(outcomes), search_folders(found, paths)
    scalings = scaling_folders(found, paths)
    page = Page(
        title=_title(candidates),
        about=_about(found, candidates),
        made_utc=datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        version=installed_version("enginebench") or "",
        stamps=make_stamps(results),
        recommendation=advice.sentence,
        reasons=advice.reasons,
        warnings=warnings_of(comparison),
        verdicts=verdicts_table(outcomes, comparison, advice.chosen),
        invalid=invalid_tests(results),
        failures=(
            *failures_of(found, _studies(found, paths)),
            *search_failures(searches),
            *scaling_failures(scalings),
        ),
        groups=(
            *scaling_groups(scalings, results),
            *search_groups(searches),
            *make_groups(outcomes, candidates, advice.chosen),
        ),
        cards=make_cards(candidates, comparison.candidates),
        drops=(),
        drops_lead=f"Where an answer lost most ROUGE-1 against that of {comparison.baseline}.",
        tests=tests_table(results),
        machines=machines_table(results),
        commands=commands(results),
        manifests=manifests(results),
        data=comparison.model_dump(mode="json", exclude=_TEXTS),
    )
    return replace(page, drops=make_drops(comparison, _MOST_BYTES - len(render(page).encode())))


def _studies(found: Found, paths: Sequence[Path]) -> tuple[Path, ...]:
    """Those in `paths`, and those that runs lie in which were named by themselves."""
    folders = [*(each.folder for each in found.results), *(p.folder for p in found.passed_over)]
    return (*study_folders(paths), *dict.fromkeys(folder.parent for folder in folders))


def _baseline(found: Found, candidates: Sequence[Candidate], named: str | None) -> Candidate:
    """The one that is named so; else the first that is not quantised, else the first; either way
    one that was measured before one that was emulated or simulated.
    """
    if named is not None:
        return baseline_of(candidates, named, found.passed_over)
    plain = [
        candidate
        for candidate in candidates
        if candidate.first.engine is not None
        and candidate.first.engine.identity.recipe.algorithm == "none"
    ]
    return min(
        plain or candidates, key=lambda each: (each.first.is_simulated, each.first.is_emulated)
    )


def _title(candidates: Sequence[Candidate]) -> str:
    models = dict.fromkeys(each.first.model or each.recipe for each in candidates)
    targets = dict.fromkeys(
        f"{each.first.target}{', emulated' if each.first.is_emulated else ''}"
        for each in candidates
        if each.first.target
    )
    on = f" on {' and '.join(targets)}" if targets else ""
    return f"{', '.join(models)}{on}"


def _about(found: Found, candidates: Sequence[Candidate]) -> str:
    """How much there is, of what, of when, and where it was measured; of all runs."""
    results = found.results
    workloads = list(dict.fromkeys(each.workload for each in results))
    days = sorted({each.started_utc[:10] for each in results})
    when = days[0] if len(days) == 1 else f"{days[0]} to {days[-1]}"
    machines = list(dict.fromkeys(str(each.machine) for each in results))
    where = machines[0] if len(machines) == 1 else f"{len(machines)} machines, listed at the end"
    of = f"workload{'s' * (len(workloads) > 1)} {' and '.join(workloads)}"
    return (
        f"{counted(len(candidates), 'candidate')}, {counted(len(results), 'run')} of {of}, {when}. "
        f"{where}."
    )
