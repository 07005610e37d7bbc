"""From folders that a user names to the candidates that are compared, and which is the baseline."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from build_engine.errors import UnknownName, UsageError
from harness.report.candidate import Candidate, candidates_of, each_alone
from harness.report.find import Found, PassedOver, find_runs

if TYPE_CHECKING:
    from harness.report.result import Result


def sides_of(paths: Sequence[Path]) -> tuple[tuple[Candidate, ...], Found]:
    """The candidates in `paths`, at least two, and what was found there.

    Runs of one configuration are repeats of each other. Where there is one configuration only, each
    run that was named is a side of its own, also a run that was named twice.

    Raises UsageError for a path without a result in it, a run that was named and has none, and
    fewer than two sides.
    """
    found = find_runs(paths)
    found.require_named()
    candidates = candidates_in(paths, found)
    if not candidates:
        raise UsageError(f"No run there is complete and unaltered: {found.passed_over[0].reason}")
    _require_each(paths, found)
    if len(candidates) > 1:
        return candidates, found
    raise UsageError(
        f"There is one configuration only, {candidates[0].label}; name the folder of another run "
        f"to compare it with."
    )


def candidates_in(paths: Sequence[Path], found: Found) -> tuple[Candidate, ...]:
    """What was found in `paths` as candidates, each named run a candidate of its own where there is
    one configuration only.
    """
    candidates = candidates_of(found.results)
    if len(candidates) == 1 and len(paths) > 1:
        return each_alone(_as_named(paths, found.results))
    return candidates


def _require_each(paths: Sequence[Path], found: Found) -> None:
    """Raise UsageError for a path that has no result: nothing takes the place of a side that was
    named.
    """
    results = [result.folder.resolve() for result in found.results]
    for path in paths:
        place = path.resolve()
        if any(folder.is_relative_to(place) for folder in results):
            continue
        reasons = (p.reason for p in found.passed_over if p.folder.resolve().is_relative_to(place))
        raise UsageError(f"No run in {path} is complete and unaltered: {next(reasons)}")


def _as_named(paths: Sequence[Path], results: Sequence[Result]) -> list[Result]:
    """The runs in the order of their names, as often as they were named."""
    by_folder = {result.folder.resolve(): result for result in results}
    named = [by_folder.get(path.resolve()) for path in paths]
    if None in named:  # a folder above runs
        return list(results)
    return [result for result in named if result is not None]


def baseline_of(
    candidates: Sequence[Candidate], name: str | None, passed_over: Sequence[PassedOver] = ()
) -> Candidate:
    """The candidate that is called so, by its label, its recipe or the folder of a run of it; the
    first when None.

    Raises UnknownName, and UsageError for the name of several, or of a run that was `passed_over`.
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
        if fits:
            told = ", ".join(f"`{each.label}`" for each in fits)
            raise UsageError(f"--baseline {name} is said of several candidates: {told}; give one.")
    for passed in passed_over:
        if name == passed.recipe or place == passed.folder.resolve():
            raise UsageError(f"The baseline {name} has no result: {passed.reason}")
    raise UnknownName("baseline", name, [candidate.label for candidate in candidates])


def _places(candidate: Candidate) -> set[Path]:
    return {
        folder.resolve()
        for result in candidate.results
        for folder in (result.folder, result.source)
    }
