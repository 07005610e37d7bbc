"""Whether a run folder still is what the run wrote: run.json by its seal, files by digest, figures
by LoadGen's detail log, and all the rest by what it is made from.

A log that was edited after the fact, and a figure in `run.json` that LoadGen's own log does not
give, are each named.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from build_engine.errors import ResultProblem, RunFailed
from build_engine.files import Unreadable, read_lossy
from harness.loadgen import logs
from harness.loadgen.settings import Mode
from harness.runs.recomputed import contradictions
from harness.runs.record import PrimaryResult, TestRecord
from harness.runs.run import Run

if TYPE_CHECKING:
    from harness.rules.rounds import Round


def problems(run: Run, chosen: Round | None = None) -> list[str]:
    """What differs, one sentence each; none for a run as it was written.

    `chosen` is the run's round; a shipped one by its name when None.
    """
    return list(_problems(run, chosen))


def require_intact(run: Run, chosen: Round | None = None) -> None:
    """Raise ResultProblem when anything differs."""
    found = problems(run, chosen)
    if found:
        raise ResultProblem(f"{run.folder.path} was changed after the run: {' '.join(found)}")


def is_intact(run: Run) -> bool:
    """Whether nothing differs; it looks no further than to the first thing that does."""
    return next(_problems(run), None) is None


def edits(run: Run) -> Iterator[str]:
    """What was edited or lost since the run ended, by its seal and its digests alone: the part of
    `problems` that takes milliseconds.
    """
    yield from _unsealed(run)
    yield from _changed_files(run)


def _problems(run: Run, chosen: Round | None = None) -> Iterator[str]:
    yield from _unsealed(run)
    changed = list(_changed_files(run))
    yield from changed
    yield from _other_figures(run)
    yield from _other_scores(run)
    if not changed and run.record.status == "complete":  # edited files bear witness of nothing
        yield from contradictions(run, chosen)


def _unsealed(run: Run) -> Iterator[str]:
    if not run.record.is_sealed:
        yield "run.json was edited: its seal does not match its fields; run again."


def _changed_files(run: Run) -> Iterator[str]:
    recorded = run.record.files
    try:
        present = run.folder.digests()
    except Unreadable as problem:
        yield f"the folder {problem}; run again."
        return
    for name in sorted(recorded.keys() | present.keys()):
        if name not in present:
            yield f"{name} is missing; restore it, or run again."
        elif name not in recorded:
            yield f"{name} is not of the run; remove it."
        elif present[name] != recorded[name]:
            yield f"{name} was edited: its digest is not the recorded one; run again."


def _other_figures(run: Run) -> Iterator[str]:
    """Figures of run.json against those recomputed from the detail log."""
    for mode, test in run.record.tests.begun.items():
        if test.status != "complete":
            continue
        try:
            yield from _other_figures_of(run, mode, test)
        except RunFailed as error:
            yield f"{error}."


def _other_figures_of(run: Run, mode: Mode, test: TestRecord) -> Iterator[str]:
    log = logs.read_detail(run.folder.test(mode).path)
    again = PrimaryResult.of(test.primary.key, log) if test.primary else None
    recorded = {**(test.metrics.by_name if test.metrics else {}), "primary": test.primary}
    measured = {**log.metrics().by_name, "primary": again}
    for name in sorted(measured.keys() | recorded.keys()):
        if measured.get(name) != recorded.get(name):
            yield (
                f"{mode}: {name} is {recorded.get(name)} in run.json and {measured.get(name)} by "
                f"LoadGen's log; run again."
            )


def _other_scores(run: Run) -> Iterator[str]:
    """accuracy.txt against the scores of run.json."""
    if run.record.accuracy is None:
        return
    path = run.folder.test("accuracy").accuracy_txt
    name = path.relative_to(run.folder.path).as_posix()
    try:
        text = read_lossy(path)
    except FileNotFoundError:
        yield f"{name} is missing; run again."
        return
    except Unreadable as problem:
        yield f"{name} {problem}; run again."
        return
    if text != run.record.accuracy.scores.to_accuracy_txt():
        yield f"{name} does not have the scores of run.json; run again."
