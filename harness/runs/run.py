"""A run: its folder and its record, which is written by rename whenever it changes.

A run that says `running` while its process is gone was killed, and is read as `interrupted`:
nothing that a killed run measured is taken for a result, or lost.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import psutil

from build_engine.errors import (
    EXIT_INTERRUPTED,
    EXIT_OK,
    EXIT_RESULT,
    RunExists,
    UsageError,
)
from build_engine.files import cannot_write, write_json
from build_engine.records import read_record
from harness.figures import ProgressFigures
from harness.runs.folder import RunFolder
from harness.runs.record import ProcessRecord, RunRecord, RunStatus

_REMEDY = "run again with a new --output"
_SAME_MOMENT_S = 0.1  # a start, read twice, is known to a clock tick


@dataclass(frozen=True, slots=True)
class Run:
    """A run at one moment: a change gives a new one, and is on the disk by then."""

    folder: RunFolder
    record: RunRecord

    @classmethod
    def claim(cls, path: Path, **known: Any) -> Run:
        """A run that begins now, in a folder of its own; `known` are the fields of its record that
        are known before. Raises RunExists when it holds anything, OutputError when it cannot be
        written.
        """
        try:
            require_free(path)
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise cannot_write(path, error) from None
        record = RunRecord(
            schema_version=RunRecord.SCHEMA,
            status="running",
            started_utc=now_utc(),
            process=_this_process(),
            **known,
        )
        run = cls(RunFolder(path), record.sealed())
        run._write()
        return run

    @classmethod
    def read(cls, path: Path) -> Run:
        """The run in a folder. Raises UsageError when there is none, or a record that is not what
        this version writes.
        """
        folder = RunFolder(path)
        try:
            record = read_record(folder.record, RunRecord, UsageError, _REMEDY)
        except FileNotFoundError:
            raise UsageError(
                f"{path} is not a run folder: it has no {folder.record.name}."
            ) from None
        if record.status == "running" and not _is_alive(record.process):
            cause = "its process was killed, or could not write to a full disk"
            record = record.model_copy(update={"status": "interrupted", "cause": cause})
        return cls(folder, record)

    def changed(self, **changes: Any) -> Run:
        """The run with other values of its record's fields, written. Raises OutputError."""
        run = Run(self.folder, self.record.model_copy(update=changes).sealed())
        run._write()
        return run

    def ended(self, status: RunStatus, cause: str | None, exit_code: int | None = None) -> Run:
        """The run is over; its files are digested, so that an edited one is noticed."""
        return self.changed(
            status=status,
            cause=cause,
            exit_code=exit_code,
            ended_utc=now_utc(),
            files=self.folder.digests(),
        )

    @property
    def name(self) -> str:
        """How messages call it: its folder's name."""
        return self.folder.path.name

    @property
    def begun_here(self) -> bool:
        """Whether it was begun on this host, where it is known which processes are alive."""
        return self.record.process.host == socket.gethostname()

    @property
    def exit_code(self) -> int:
        """As the command line gives it."""
        record = self.record
        if record.status == "interrupted":
            return EXIT_INTERRUPTED
        if record.status == "failed":
            return record.failed_with
        tests = (*record.tests.begun.values(), *record.performance_tests)
        valid = all(test.verdict.valid for test in tests)
        gates = record.accuracy is None or record.accuracy.passed
        return EXIT_OK if valid and gates else EXIT_RESULT

    def log_progress(self, test: str, figures: ProgressFigures) -> None:
        """A line of `progress.jsonl`; a full disk must not end a run that LoadGen could still
        complete.
        """
        with (
            contextlib.suppress(OSError),
            self.folder.progress.open("a", encoding="utf-8") as file,
        ):
            file.write(json.dumps({"test": test, **asdict(figures)}) + "\n")

    def _write(self) -> None:
        try:
            write_json(self.folder.record, self.record.to_json())
        except OSError as error:
            raise cannot_write(self.folder.path, error) from None


def require_free(path: Path) -> None:
    """Raise RunExists, with what is there, unless the folder is missing or empty."""
    if not path.exists() or (path.is_dir() and not any(path.iterdir())):
        return
    found = "is not empty" if path.is_dir() else "is a file"
    with contextlib.suppress(UsageError):
        found = _told(Run.read(path))
    raise RunExists(f"{path} {found}; choose another --output, or move it out of the way.")


def _told(run: Run) -> str:
    """What a folder holds, in words."""
    record, process = run.record, run.record.process
    if record.status == "running" and not run.begun_here:
        return (
            f"holds a run that process {process.pid} on {process.host} began "
            f"{record.started_utc}, and whether that goes on is not known here"
        )
    cause = f" ({record.cause})" if record.cause else ""
    return f"holds a run that is {record.status}{cause}"


def _this_process() -> ProcessRecord:
    pid = os.getpid()
    return ProcessRecord(host=socket.gethostname(), pid=pid, started_s=_started_s(pid))


def _is_alive(process: ProcessRecord) -> bool:
    """Whether a process still runs; on another host there is no telling, so it is taken to."""
    if process.host != socket.gethostname():
        return True
    try:
        if psutil.Process(process.pid).status() == psutil.STATUS_ZOMBIE:
            return False
        return abs(_started_s(process.pid) - process.started_s) < _SAME_MOMENT_S
    except psutil.NoSuchProcess:
        return False


def _started_s(pid: int) -> float:
    """Seconds from the machine's boot to the start of a process: the same however the clock is set
    meanwhile.
    """
    return round(psutil.Process(pid).create_time() - psutil.boot_time(), 2)


def now_utc() -> str:
    """ISO 8601, to the second."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds")
