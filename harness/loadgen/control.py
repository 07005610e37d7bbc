"""One LoadGen test over a warm engine: LoadGen on a thread, and a control loop that watches it.

LoadGen takes its process down when a callback raises and waits for ever when a sample is lost, so
the loop returns by itself as soon as anything is wrong.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

from build_engine.validation import counted
from harness.loadgen.folder import TestFolder
from harness.loadgen.messages import Report, StartTest
from harness.loadgen.orders import Orders
from harness.loadgen.sut import SystemUnderTest
from runtime.awake import AwakeClock
from runtime.process import Line

_TICK_S = 0.1
_REPORT_S = 0.5
_MOST_TOLD = 4096  # answers in a report: more would take LoadGen's process milliseconds


class LoadgenTest:
    """One LoadGen test over an executor that is loaded and warm."""

    def __init__(
        self, start: StartTest, sut: SystemUnderTest, num_samples: int, stall_s: float
    ) -> None:
        self._start = start
        self._sut = sut
        self._num_samples = num_samples
        self._stall_s = stall_s
        self._clock = AwakeClock()
        self._silent_since_s = self._sign_s = 0.0
        self._error: str | None = None
        self._num_told = 0
        self._thread = threading.Thread(target=self._run, name="loadgen", daemon=True)

    def run(self, line: Line, orders: Orders) -> str | None:
        """Run to the end; the cause when the test failed, None when it completed.

        Returns as well, without waiting for LoadGen, when the supervisor says stop.
        """
        self._sut.start()
        self._thread.start()
        reported_s = time.perf_counter()
        while self._thread.is_alive() and not orders.stopped.is_set():
            self._thread.join(_TICK_S)
            cause = self._error or self._sut.failure or self._stalled()
            if cause:
                return cause
            now_s = time.perf_counter()
            if now_s - reported_s >= _REPORT_S:
                reported_s = now_s
                line.tell(self._report())
        if not orders.stopped.is_set():
            line.tell(self._report())
        return self._error or self._sut.failure

    def _report(self) -> Report:
        """The figures, and the answers that the supervisor has not yet heard of."""
        figures = self._sut.snapshot()
        end = min(figures.done, self._num_told + _MOST_TOLD)
        records = self._sut.records[self._num_told : end]
        self._num_told = end
        return Report(figures, tuple(records))

    def _stalled(self) -> str | None:
        now_s, sign_s = self._clock(), self._sut.last_sign_s
        if sign_s != self._sign_s:
            self._silent_since_s, self._sign_s = now_s, sign_s
        silent_s = now_s - self._silent_since_s
        if self._sut.num_open and silent_s > self._stall_s:
            still = counted(self._sut.num_open, "query was", "queries were")
            return f"the engine gave no token for {silent_s:.0f} s while {still} open"
        return None

    def _run(self) -> None:
        import mlperf_loadgen as lg

        files = TestFolder(self._start.folder)
        try:
            settings = self._start.plan.test_settings(files.user_conf)
            logs = lg.LogSettings()
            logs.enable_trace = False
            logs.log_output.outdir = str(files.path)
            audit_config = self._start.audit_config or files.no_audit_config
            sut = lg.ConstructSUT(self._sut.issue, self._sut.flush)
            qsl = lg.ConstructQSL(self._num_samples, self._num_samples, _ignore, _ignore)
            lg.StartTestWithLogSettings(sut, qsl, settings, logs, str(audit_config))
            lg.DestroyQSL(qsl)
            lg.DestroySUT(sut)
        except Exception as error:  # the control loop is the one to say it
            self._error = f"LoadGen: {error}"


def _ignore(_indices: Sequence[int]) -> None:
    """Samples are in memory all along: there is nothing to load or unload."""
