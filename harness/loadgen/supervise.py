"""The supervisor's side of a LoadGen test: start its process, watch it, and always come back with
an outcome.

Whatever happens over there (a crash, a silent hang, an exception, a dead engine) ends the test
within seconds with the cause in one sentence. Ctrl-C stops the process, keeps what it measured, and
leaves no process behind.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from build_engine.errors import EXIT_FAILED
from build_engine.files import write_beside, write_json
from harness.figures import ProgressFigures
from harness.loadgen.folder import TestFolder
from harness.loadgen.job import Job, Probe
from harness.loadgen.messages import (
    AnswerRecord,
    Done,
    Failed,
    Ready,
    Report,
    StartTest,
    Stop,
    Stopped,
)
from harness.loadgen.partial import PartialLog
from harness.loadgen.settings import LoadgenPlan
from harness.loadgen.time_left import TimeLeft
from harness.machine.load import LoadMeter, MachineLoad
from harness.progress import Progress
from runtime.process import Child, Hangup, Inbox

# the process reports twice a second: this long without a word, it is not running Python any more
_SILENCE_S = 30.0
_WARM_UP_LIMIT_S = 3600.0  # it says nothing while it loads and warms up
_STOP_GRACE_S = 10.0
_END_GRACE_S = 3.0

_STOPPED = "stopped by the user"
GIVEN_UP = "given up: too many answers were beyond a latency limit"
"""The cause of a test that `give_up` ended."""

Status = Literal["complete", "interrupted", "failed"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a test ended. `cause` is one sentence unless it is complete; `figures` are the last ones
    reported, and `load` is the machine's over the test, None where it did not come that far.
    """

    status: Status
    cause: str | None
    probe: Probe | None
    plan: LoadgenPlan | None
    figures: ProgressFigures | None = None
    exit_code: int = EXIT_FAILED
    load: MachineLoad | None = None


def run_test(
    job: Job,
    make_plan: Callable[[Probe], LoadgenPlan],
    folder: Path,
    progress: Progress,
    *,
    on_figures: Callable[[ProgressFigures], None] = lambda figures: None,
    audit_config: Path | None = None,
    num_queries: int | None = None,
    give_up: Callable[[Sequence[AnswerRecord]], bool] = lambda records: False,
    silence_s: float = _SILENCE_S,
) -> Outcome:
    """Run one LoadGen test in `folder`, which exists; always returns an Outcome.

    `make_plan` turns the warm-up's probe into the plan, and may tell the user about it; what it
    raises is raised here, after the process has ended. `on_figures` sees each progress report.
    `num_queries` is given where an `audit_config` asks for fewer than the plan. `give_up` sees the
    answers of each report; where it says so, the test is stopped, and is `interrupted`.
    """
    files = TestFolder(folder)
    write_json(files.job, job.to_json())
    child = Child(
        "LoadGen's process",
        "harness.loadgen.worker",
        str(files.job),
        log=files.process_log,
        folder=folder,
        own_group=True,  # Ctrl-C reaches the supervisor alone
    )
    metered = not job.executor.is_served  # what a server takes here would be taken for others'
    watch = _Watch(child, files, progress, on_figures, give_up, silence_s, metered)

    def begin(ready: Ready) -> tuple[StartTest, TimeLeft]:
        plan = make_plan(ready.probe)
        left = TimeLeft.of(plan, ready.probe, ready.answer_tokens, job.max_new_tokens, num_queries)
        return StartTest(plan, folder, audit_config), left

    try:
        return watch.until_end(begin)
    except KeyboardInterrupt:
        return watch.interrupt()
    finally:
        child.end(_END_GRACE_S)
        watch.close()


class _Watch:
    """What is known of a running test, and the loop that learns it."""

    def __init__(
        self,
        child: Child,
        files: TestFolder,
        progress: Progress,
        on_figures: Callable[[ProgressFigures], None],
        give_up: Callable[[Sequence[AnswerRecord]], bool],
        silence_s: float,
        metered: bool,
    ) -> None:
        self._child = child
        self._inbox = Inbox(child.line)
        self._files = files
        self._partial = PartialLog(files.partial)
        self._progress = progress
        self._on_figures = on_figures
        self._give_up = give_up
        self._silence_s = silence_s
        self._metered = metered
        self._probe: Probe | None = None
        self._plan: LoadgenPlan | None = None
        self._left: TimeLeft | None = None
        self._figures: ProgressFigures | None = None
        self._meter: LoadMeter | None = None
        self._load: MachineLoad | None = None

    def until_end(self, begin: Callable[[Ready], tuple[StartTest, TimeLeft]]) -> Outcome:
        """Follow the test to its end; `begin` says how it starts once the engine is warm."""
        while True:
            timeout_s = self._silence_s if self._plan else _WARM_UP_LIMIT_S
            try:
                news = self._inbox.receive(timeout_s)
            except Hangup:
                return self._failed(self._child.obituary())
            match news:
                case None:
                    return self._failed(f"LoadGen's process said nothing for {timeout_s:.0f} s")
                case Ready():
                    self._probe = news.probe
                    self._start(*begin(news))
                case Report(figures, records):
                    self._partial.append(records)
                    self._report(figures, records)
                    if self._give_up(records):
                        return self.interrupt(GIVEN_UP)
                case Done():
                    return self._done()
                case Failed(cause, figures, exit_code):
                    self._figures = figures or self._figures
                    return self._failed(cause, exit_code)

    def interrupt(self, cause: str = _STOPPED) -> Outcome:
        """Stop the test and keep what it measured."""
        if self._plan is None:  # it loads or warms up: there is nothing to wait for
            return Outcome("interrupted", cause, self._probe, self._plan)
        self._child.line.tell(Stop())
        deadline_s = time.monotonic() + _STOP_GRACE_S
        try:
            while (left_s := deadline_s - time.monotonic()) > 0:
                news = self._inbox.receive(left_s)
                if isinstance(news, Report):
                    self._partial.append(news.records)
                if isinstance(news, Report | Stopped):
                    self._figures = news.figures
        except Hangup:
            pass
        except KeyboardInterrupt:
            cause = _STOPPED
        return Outcome("interrupted", cause, self._probe, self._plan, self._figures)

    def close(self) -> None:
        """Keep what was measured, if anything was."""
        self._partial.close(keep=True)

    def _start(self, start: StartTest, left: TimeLeft) -> None:
        write_beside(self._files.user_conf, start.plan.user_conf)
        self._plan, self._left = start.plan, left
        self._meter = LoadMeter(self._child.pid) if self._metered else None
        self._child.line.tell(start)

    def _report(self, figures: ProgressFigures, records: Sequence[AnswerRecord]) -> None:
        assert self._left is not None, "there are no figures before the start"
        self._figures = replace(figures, left_s=self._left.after(figures, records))
        self._load = self._meter.read() if self._meter else None
        self._on_figures(self._figures)
        self._progress.update(figures.done, self._left.num_queries, self._figures)

    def _done(self) -> Outcome:
        """The test says it completed; how its process ends decides whether that is all of it."""
        code = self._child.wait(_STOP_GRACE_S)
        if code is None:
            return self._failed("LoadGen's process did not end after the test")
        if code != 0:
            return self._failed(self._child.obituary())
        self._partial.close(keep=False)
        return Outcome("complete", None, self._probe, self._plan, self._figures, 0, self._load)

    def _failed(self, cause: str, exit_code: int = EXIT_FAILED) -> Outcome:
        return Outcome("failed", cause, self._probe, self._plan, self._figures, exit_code)
