"""Every run that was ever made here: found in any folders, and filtered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from build_engine.errors import EnginebenchError, UsageError
from build_engine.validation import Frozen, one_of
from harness.report.find import run_folders
from harness.rules.scenario import Scenario
from harness.runs.marks import named_plainly
from harness.runs.record import Mark, RunStatus
from harness.runs.run import Run

STATUSES: tuple[RunStatus, ...] = ("running", "complete", "interrupted", "failed")


class Entry(Frozen):
    """One run in a list; `tokens_per_s` is that of its first test, `valid` None until it ended."""

    folder: str
    started_utc: str
    status: RunStatus
    cause: str | None
    workload: str
    scenario: Scenario
    model: str | None
    target: str | None
    recipe: str
    marks: tuple[Mark, ...]
    tokens_per_s: float | None
    num_tests: int
    rouge1: float | None
    valid: bool | None

    @property
    def called(self) -> str:
        """The recipe, and for what it was emulated or simulated if it was."""
        return named_plainly(self.recipe, self.target, self.marks)


class Unreadable(Frozen):
    """A folder that could not be read, and why."""

    folder: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFilter:
    """Which runs are listed: those that fit all that is given."""

    recipe: str | None = None
    """The engine's recipe."""
    scenario: str | None = None
    """Offline, Server, Interactive or SingleStream."""
    workload: str | None = None
    """The workload's name."""
    status: str | None = None
    """running, complete, interrupted or failed."""
    target: str | None = None
    """What the engine was built for."""
    since: str | None = None
    """A day or a time, as in 2026-11-28 or 2026-11-28T14:00, in UTC: runs that began then or later.
    """

    def check(self) -> None:
        """Raise UsageError for a value that no run could have."""
        _meant("scenario", self.scenario, [str(each) for each in Scenario])
        _meant("status", self.status, STATUSES)
        self._begin()

    def fits(self, entry: Entry) -> bool:
        """Whether a run is one of those."""
        wanted = {
            "recipe": self.recipe,
            "scenario": _meant("scenario", self.scenario, [str(each) for each in Scenario]),
            "workload": self.workload,
            "status": _meant("status", self.status, STATUSES),
            "target": self.target,
        }
        since = self._begin()
        fits = all(
            value is None or getattr(entry, field) == value for field, value in wanted.items()
        )
        return fits and (since is None or _moment(entry.started_utc) >= since)

    def _begin(self) -> datetime | None:
        try:
            return None if self.since is None else _moment(self.since)
        except ValueError:
            raise UsageError(
                f"--since {self.since} is no time; write a day as in 2026-11-28, or a time as in "
                f"2026-11-28T14:00."
            ) from None


def history(
    paths: Sequence[Path], wanted: RunFilter
) -> tuple[tuple[Entry, ...], tuple[Unreadable, ...]]:
    """The runs in `paths` that fit, the latest first, and what could not be read.

    Raises UsageError for a path without a run, and for a time in the filter that is none.
    """
    entries: dict[Path, Entry] = {}
    unreadable: list[Unreadable] = []
    for path in paths:
        folders, passed_over = run_folders(path)
        unreadable += [Unreadable(folder=str(p.folder), reason=p.reason) for p in passed_over]
        for folder in folders:
            try:
                entries.setdefault(folder.resolve(), _entry(Run.read(folder)))
            except EnginebenchError as error:
                unreadable.append(Unreadable(folder=str(folder), reason=str(error)))
    found = [entry for entry in entries.values() if wanted.fits(entry)]
    found.sort(key=lambda entry: entry.started_utc, reverse=True)
    return tuple(found), tuple(dict.fromkeys(unreadable))


def _entry(run: Run) -> Entry:
    record = run.record
    try:
        _moment(record.started_utc)
    except ValueError:
        raise UsageError(
            f"{run.folder.record} was edited: `started_utc` is no time; run again."
        ) from None
    metrics = [test.metrics for test in record.performance_tests if test.metrics is not None]
    scores = record.accuracy.scores if record.accuracy else None
    return Entry(
        folder=str(run.folder.path),
        started_utc=record.started_utc,
        status=record.status,
        cause=record.cause,
        workload=record.workload.name,
        scenario=record.scenario,
        model=record.model,
        target=record.target,
        recipe=record.recipe,
        marks=record.marks,
        tokens_per_s=metrics[0].tokens_per_s if metrics else None,
        num_tests=len(metrics),
        rouge1=scores.rouge1 if scores else None,
        valid=run.exit_code == 0 if record.status == "complete" else None,
    )


def _meant(kind: str, name: str | None, valid: Sequence[str]) -> str | None:
    return None if name is None else one_of(kind, name, valid)


def _moment(text: str) -> datetime:
    """In UTC, unless it says otherwise. Raises ValueError."""
    found = datetime.fromisoformat(text.replace("Z", "+00:00"))
    return found if found.tzinfo else found.replace(tzinfo=timezone.utc)
