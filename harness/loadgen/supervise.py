"""The supervisor's side of a LoadGen test: start its process, watch it, and always come back with
an outcome.

Whatever happens over there (a crash, a silent hang, an exception, a dead engine) ends the test
within seconds with the cause in one sentence. Ctrl-C stops the process, keeps what it measured, and
leaves no process behind.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from build_engine.errors import EXIT_FAILED
from harness.loadgen.environment import child_environment
from harness.loadgen.job import Job, Probe, StartTest
from harness.loadgen.settings import LoadgenPlan
from harness.progress import Progress

# the process reports twice a second: this long without a word, it is not running Python any more
_SILENCE_S = 30.0
_STOP_GRACE_S = 10.0
_END_GRACE_S = 3.0
_CATCH_UP_S = 2.0

Status = Literal["complete", "interrupted", "failed"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a test ended. `cause` is one sentence unless it is complete; `figures` are the last ones
    reported.
    """

    status: Status
    cause: str | None
    probe: Probe | None
    plan: LoadgenPlan | None
    figures: dict[str, Any] = field(default_factory=dict)
    exit_code: int = EXIT_FAILED


class _Process:
    """The child and its messages, read by a thread so that a wait for them can time out or be
    interrupted.
    """

    def __init__(self, job_file: Path, log: Path) -> None:
        read_fd, write_fd = os.pipe()
        with log.open("wb") as output:
            self.popen = subprocess.Popen(
                [sys.executable, "-m", "harness.loadgen.worker", str(job_file), str(write_fd)],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
                pass_fds=[write_fd],
                start_new_session=True,  # Ctrl-C reaches the supervisor alone
                cwd=log.parent,
                env=child_environment(),
                text=True,
            )
        os.close(write_fd)
        self._messages: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        self._reader = threading.Thread(target=self._read, args=(read_fd,), daemon=True)
        self._reader.start()

    def _read(self, read_fd: int) -> None:
        with os.fdopen(read_fd, encoding="utf-8") as lines:
            for line in lines:
                with contextlib.suppress(json.JSONDecodeError):  # the last line of a killed process
                    self._messages.put(json.loads(line))
        self._messages.put(None)

    def receive(self, timeout_s: float) -> dict[str, Any] | None:
        """The next message; None when the process closed its end. Raises queue.Empty after
        `timeout_s`, and a moment in which the reader catches up: we may have been stopped.
        """
        with contextlib.suppress(queue.Empty):
            return self._messages.get(timeout=timeout_s)
        return self._messages.get(timeout=_CATCH_UP_S)

    def say(self, line: str) -> None:
        """One line on the child's standard input; nothing if it is gone."""
        assert self.popen.stdin is not None
        with contextlib.suppress(BrokenPipeError, ValueError):
            self.popen.stdin.write(line + "\n")
            self.popen.stdin.flush()

    def end(self) -> None:
        """End the process and all that it started; the process sees its input end and has a moment
        to follow.
        """
        assert self.popen.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self.popen.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.popen.wait(_END_GRACE_S)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.popen.pid, signal.SIGKILL)
        self.popen.wait()
        self._reader.join(_END_GRACE_S)


def run_test(
    job: Job,
    make_plan: Callable[[Probe], LoadgenPlan],
    folder: Path,
    progress: Progress,
    *,
    on_figures: Callable[[dict[str, Any]], None] = lambda figures: None,
    audit_config: Path | None = None,
    silence_s: float = _SILENCE_S,
) -> Outcome:
    """Run one LoadGen test in `folder`, which exists; always returns an Outcome.

    `make_plan` turns the warm-up's probe into the plan, and may tell the user about it; what it
    raises is raised here, after the process has ended. `on_figures` sees each progress report.
    """
    job_file = folder / "job.json"
    job_file.write_text(job.to_json(), encoding="utf-8")
    process = _Process(job_file, folder / "process.log")
    watch = _Watch(process, folder, progress, on_figures, audit_config, silence_s)
    try:
        return watch.until_end(make_plan)
    except KeyboardInterrupt:
        return watch.interrupt()
    finally:
        with _uninterrupted():
            process.end()


@contextlib.contextmanager
def _uninterrupted() -> Any:
    """Ctrl-C or SIGTERM again while the processes are being ended does not leave them behind."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous = {
        number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


class _Watch:
    """What is known of a running test, and the loop that learns it."""

    def __init__(
        self,
        process: _Process,
        folder: Path,
        progress: Progress,
        on_figures: Callable[[dict[str, Any]], None],
        audit_config: Path | None,
        silence_s: float,
    ) -> None:
        self._process = process
        self._folder = folder
        self._progress = progress
        self._on_figures = on_figures
        self._audit_config = audit_config
        self._silence_s = silence_s
        self._probe: Probe | None = None
        self._plan: LoadgenPlan | None = None
        self._figures: dict[str, Any] = {}

    def until_end(self, make_plan: Callable[[Probe], LoadgenPlan]) -> Outcome:
        """Follow the test to its end."""
        while True:
            # Loading and warming up take what they take; the process says nothing meanwhile.
            timeout_s = self._silence_s if self._plan else 3600.0
            try:
                message = self._process.receive(timeout_s)
            except queue.Empty:
                return self._failed(f"LoadGen's process said nothing for {timeout_s:.0f} s")
            if message is None:
                return self._failed(self._obituary())
            kind = message.pop("kind")
            if kind == "ready":
                self._start(Probe(**message), make_plan)
            elif kind == "progress":
                self._figures = message
                self._on_figures(message)
                total = self._plan.num_queries if self._plan else None
                self._progress.update(message["done"], total, message)
            elif kind == "done":
                return self._done()
            elif kind == "failed":
                cause, code = message.pop("cause"), message.pop("exit_code", EXIT_FAILED)
                self._figures = message or self._figures
                return self._failed(cause, code)

    def interrupt(self) -> Outcome:
        """Stop the test and keep what it measured."""
        cause = "stopped by the user"
        if self._plan is None:  # it loads or warms up: there is nothing to wait for
            return Outcome("interrupted", cause, self._probe, self._plan)
        self._process.say("stop")
        deadline_s = time.monotonic() + _STOP_GRACE_S
        with contextlib.suppress(queue.Empty, KeyboardInterrupt):
            while (left_s := deadline_s - time.monotonic()) > 0:
                message = self._process.receive(left_s)
                if message is None:
                    break
                if message.pop("kind") in ("progress", "stopped"):
                    self._figures |= message
        return Outcome("interrupted", cause, self._probe, self._plan, self._figures)

    def _start(self, probe: Probe, make_plan: Callable[[Probe], LoadgenPlan]) -> None:
        self._probe = probe
        plan = make_plan(probe)
        (self._folder / "user.conf").write_text(plan.user_conf, encoding="utf-8")
        self._plan = plan
        self._process.say(StartTest(plan, self._folder, self._audit_config).to_json())

    def _done(self) -> Outcome:
        """The test says it completed; how its process ends decides whether that is all of it."""
        try:
            code = self._process.popen.wait(_STOP_GRACE_S)
        except subprocess.TimeoutExpired:
            return self._failed("LoadGen's process did not end after the test")
        if code != 0:
            return self._failed(self._obituary())
        return Outcome("complete", None, self._probe, self._plan, self._figures, 0)

    def _failed(self, cause: str, exit_code: int = EXIT_FAILED) -> Outcome:
        return Outcome("failed", cause, self._probe, self._plan, self._figures, exit_code)

    def _obituary(self) -> str:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.popen.wait(_STOP_GRACE_S)
        code = self._process.popen.returncode
        if code is None:
            how = "closed its messages and went on running"
        elif code < 0:
            how = f"was ended by {signal.Signals(-code).name}"
        else:
            how = f"ended with exit code {code}"
        log = (self._folder / "process.log").read_text(encoding="utf-8", errors="replace")
        lines = [line for line in log.splitlines() if line.strip()]
        return f"LoadGen's process {how}" + (f"; its last words: {lines[-1]}" if lines else "")
