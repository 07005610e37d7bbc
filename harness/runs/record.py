"""The record of a run: `run.json`, complete at every moment and written by rename.

A run is `running`, then `complete`, `interrupted` or `failed`. One that says `running` while its
process is gone was killed, and is read as `interrupted`: nothing that a killed run measured is
taken for a result, or lost.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shlex
import socket
import sys
from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from build_engine.errors import OutputError, RunExists, UsageError

if TYPE_CHECKING:
    from harness.progress import ProgressFigures

SCHEMA_VERSION = 2  # raised when a field changes its meaning or goes away
NAME = "run.json"
_REQUIRED = {"status": str, "process": dict, "tests": dict}
_REQUIRED_OF_PROCESS = {"host": str, "pid": int}
_DIGESTED = (
    "mlperf_log_detail.txt",
    "mlperf_log_summary.txt",
    "mlperf_log_accuracy.json",
    "verify_accuracy.txt",
    "accuracy.txt",
    "token_counts.json",
    "user.conf",
    "job.json",
)


class RunRecord:
    """`run.json` of one run folder, kept up to date while the run goes on."""

    def __init__(self, folder: Path, content: dict[str, Any]) -> None:
        self.folder = folder
        self.content = content

    @classmethod
    def create(cls, folder: Path, content: dict[str, Any]) -> RunRecord:
        """Claim a run folder. Raises RunExists when it holds anything, OutputError when it cannot
        be written.
        """
        try:
            require_free(folder)
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise cannot_write(folder, error) from None
        record = cls(
            folder,
            {
                "schema_version": SCHEMA_VERSION,
                "status": "running",
                "cause": None,
                "command": shlex.join(["enginebench", *sys.argv[1:]]),
                "started_utc": _now(),
                "ended_utc": None,
                "process": {
                    "host": socket.gethostname(),
                    "pid": os.getpid(),
                    "start_ticks": _start_ticks(os.getpid()),
                },
                "tests": {},
                **content,
            },
        )
        record.save()
        return record

    @classmethod
    def read(cls, folder: Path) -> RunRecord:
        """The record of a run folder. Raises UsageError when there is none, or a newer one."""
        try:
            content = json.loads((folder / NAME).read_text(encoding="utf-8"))
        except OSError:
            raise UsageError(f"{folder} is not a run folder: it has no {NAME}.") from None
        except ValueError as error:
            raise UsageError(
                f"{folder / NAME} is broken ({error}); run again with a new --output."
            ) from None
        schema = content.get("schema_version") if isinstance(content, dict) else None
        if not isinstance(schema, int):
            raise UsageError(f"{folder / NAME} is not the record of a run: no schema_version.")
        if schema > SCHEMA_VERSION:
            raise UsageError(
                f"{folder / NAME} was written by a newer enginebench; update this one."
            )
        if schema < SCHEMA_VERSION:
            raise UsageError(
                f"{folder / NAME} was written by an older enginebench; run again with a new "
                f"--output."
            )
        missing = _lacking(content, _REQUIRED)
        missing += _lacking(content.get("process"), _REQUIRED_OF_PROCESS)
        if missing:
            raise UsageError(
                f"{folder / NAME} is not the record of a run: it has no {', '.join(missing)}."
            )
        if content["status"] == "running" and not _is_alive(content["process"]):
            cause = "its process was killed, or could not write to a full disk"
            content |= {"status": "interrupted", "cause": cause}
        return cls(folder, content)

    def save(self, **changes: Any) -> None:
        """Take over changes and write the file. Raises OutputError."""
        self.content |= changes
        temporary = self.folder / f".{NAME}"
        try:
            temporary.write_text(json.dumps(self.content, indent=2) + "\n", encoding="utf-8")
            temporary.replace(self.folder / NAME)
        except OSError as error:
            with contextlib.suppress(OSError):  # an empty folder can be claimed again
                temporary.unlink()
            raise cannot_write(self.folder, error) from None

    def end(self, status: str, cause: str | None) -> None:
        """The run is over; its files are digested, so that an edited one is noticed."""
        self.save(status=status, cause=cause, ended_utc=_now(), files=self.digests())

    def digests(self) -> dict[str, str]:
        """SHA-256 of LoadGen's files and of what each test was, by path within the folder."""
        return {
            str(path.relative_to(self.folder)): hashlib.sha256(path.read_bytes()).hexdigest()
            for name in _DIGESTED
            for path in sorted(self.folder.rglob(name))
            if path.is_file()
        }


class ProgressLog:
    """`progress.jsonl`: the figures of a test as it went, a line each report."""

    def __init__(self, folder: Path, test: str) -> None:
        self._path = folder / "progress.jsonl"
        self._test = test

    def append(self, figures: ProgressFigures) -> None:
        """One line; a full disk must not end a run that LoadGen could still complete."""
        with contextlib.suppress(OSError), self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"test": self._test, **asdict(figures)}) + "\n")


def require_free(folder: Path) -> None:
    """Raise RunExists, with what is there, unless the folder is missing or empty."""
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return
    found = "is not empty" if folder.is_dir() else "is a file"
    with contextlib.suppress(UsageError):
        earlier = RunRecord.read(folder).content
        cause = f" ({earlier['cause']})" if earlier["cause"] else ""
        found = f"holds a run that is {earlier['status']}{cause}"
    raise RunExists(f"{folder} {found}; choose another --output, or move it out of the way.")


def check_writable(folder: Path) -> None:
    """Raise OutputError unless a folder is there, or can be made, and takes files."""
    parent = next(path for path in [folder, *folder.absolute().parents] if path.exists())
    if not os.access(parent, os.W_OK | os.X_OK) or not parent.is_dir():
        problem = "is not writable" if parent.is_dir() else "is a file"
        raise cannot_write(folder, OSError(f"{parent} {problem}"))


def cannot_write(folder: Path, error: OSError) -> OutputError:
    """The error for a folder that does not take our files."""
    reason = error.strerror or str(error)
    return OutputError(
        f"Cannot write to {folder} ({reason}); free space, or choose another --output."
    )


def _lacking(content: Any, fields: Mapping[str, type]) -> list[str]:
    """Which fields an object has not, or has of another kind."""
    found = content if isinstance(content, dict) else {}
    return [name for name, kind in fields.items() if not isinstance(found.get(name), kind)]


def _is_alive(process: dict[str, Any]) -> bool:
    """Whether a process still runs; on another host there is no telling, so it is taken to.

    In containers the same ids come again and again: a process that started at another time is
    another one.
    """
    if process["host"] != socket.gethostname():
        return True
    try:
        os.kill(process["pid"], 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    started = process.get("start_ticks")
    return started is None or started == _start_ticks(process["pid"])


def _start_ticks(pid: int) -> int | None:
    """Clock ticks after boot when a process started: fields 3 and 22 of proc_pid_stat(5).

    None for one that has ended and waits to be reaped, and where there is no /proc.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] == "Z" else int(fields[19])


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")
