"""From folders that a user names to the candidates that are compared, and which is the baseline."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from build_engine.errors import UnknownName, UsageError
from harness.report.candidate import Candidate, candidates_of, each_alone
from harness.report.find import Found, find_runs

if TYPE_CHECKING:
    from harness.report.result import Result


def sides_of(paths: Sequence[Path]) -> tuple[tuple[Candidate, ...], Found]:
    """The candidates in `paths`, at least two, and what was found there.

    Runs of one configuration are repeats of each other. Where there is one configuration only, each
    run that was named is a side of its own, also a run that was named twice.

    Raises UsageError for a path without a run, a run that was named and has no result, and fewer
    than two sides.
    """
    found = find_runs(paths)
    found.require_named()
    candidates = candidates_of(found.results)
    if len(candidates) == 1 and len(paths) > 1:
        candidates = each_alone(_as_named(paths, found.results))
    if len(candidates) > 1:
        return candidates, found
    if not candidates:
        raise UsageError(f"No run there is complete and unaltered: {found.passed_over[0].reason}")
    raise UsageError(
        f"There is one configuration only, {candidates[0].label}; name the folder of another run "
        f"to compare it with."
    )


def _as_named(paths: Sequence[Path], results: Sequence[Result]) -> list[Result]:
    """The runs in the order of their names, as often as they were named."""
    by_folder = {result.folder.resolve(): result for result in results}
    named = [by_folder.get(path.resolve()) for path in paths]
    if None in named:  # a folder above runs
        return list(results)
    return [result for result in named if result is not None]


def baseline_of(candidates: Sequence[Candidate], name: str | None) -> Candidate:
    """The candidate that is called so, by its label, its recipe or the folder of a run of it; the
    first when None. Raises UnknownName.
    """
    if name is None:
        return candidates[0]
    place = Path(name).resolve()
    for fits in (
        [each for each in candidates if each.label == name],
        [each for each in candidates if each.recipe == name],
        [each for each in candidates if place in _places(each)],
    ):
        if len(fits) == 1:
            return fits[0]
    raise UnknownName("baseline", name, [candidate.label for candidate in candidates])


def _places(candidate: Candidate) -> set[Path]:
    return {
        folder.resolve()
        for result in candidate.results
        for folder in (result.folder, result.source)
    }
