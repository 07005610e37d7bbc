"""The process of the efficiency benchmark: one engine, under LoadGen and bare in turn.

Both sides share everything but LoadGen and the harness around it: the process, its settings, the
loaded engine, the requests and their order. A first pass that does not count lets the engine meet
every shape; without it whichever side came first would pay for that.
"""

from __future__ import annotations

import functools
import gc
import os
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.drive import drive
from benchmarks.turns import Measure, Side, Turn
from build_engine.errors import RunFailed
from harness.dataset.prompts import load_prompts
from harness.loadgen import logs
from harness.loadgen.control import LoadgenTest
from harness.loadgen.messages import StartTest
from harness.loadgen.orders import Orders
from harness.loadgen.settings import LoadgenPlan
from harness.loadgen.sut import AnswerLimits, SystemUnderTest
from harness.loadgen.worker import SWITCH_INTERVAL_S
from runtime.backend import load
from runtime.executor import Request
from runtime.process import Line

if TYPE_CHECKING:
    from collections.abc import Callable

_settings = functools.cache(LoadgenPlan.test_settings)


class _Plan(LoadgenPlan):
    """Reads LoadGen's settings once: a second time in a process they lack its built-in conf."""

    def test_settings(self, user_conf: Path) -> Any:
        return _settings(self, user_conf)


class _Sides:
    """The two ways of answering every sample once."""

    def __init__(self, asked: Measure, line: Line) -> None:
        job, start = asked.job, asked.start
        self._job, self._line = job, line
        self._start = StartTest(_Plan(**asdict(start.plan)), start.folder)
        self._orders = Orders(line)
        self._prompts = load_prompts(job.dataset, job.num_samples)
        self._limits = AnswerLimits(job.max_new_tokens, job.min_new_tokens, job.stop_ids)
        self._requests = [
            Request(i, self._prompts[index], job.max_new_tokens, job.min_new_tokens, job.stop_ids)
            for i, index in enumerate(asked.order)
        ]
        self.executor = load(job.executor)

    def under_loadgen(self) -> float:
        """Tokens a second, by LoadGen's log."""
        sut = SystemUnderTest(self.executor, self._prompts, self._limits, keep=False)
        test = LoadgenTest(self._start, sut, self._job.num_samples, self._job.stall_s)
        cause = test.run(self._line, self._orders)
        sut.finish()
        if cause:
            raise RunFailed(f"the LoadGen side failed: {cause}")
        return logs.read_detail(self._start.folder).metrics().tokens_per_s or 0.0

    def bare(self) -> float:
        """Tokens a second, from the submission to the last token."""
        return drive(self.executor, self._requests).tokens_per_s


def _turn(side: Side, answer: Callable[[], float]) -> Turn:
    started_s, cpu_s = time.perf_counter(), time.process_time()
    rate = answer()
    share = (time.process_time() - cpu_s) / (time.perf_counter() - started_s)
    return Turn(side, rate, cpu_percent=100 * share / len(os.sched_getaffinity(0)))


def main() -> None:
    """Tell the turns of both sides, in the order A B, B A, A B."""
    line = Line.to_parent()
    asked = line.receive()
    assert isinstance(asked, Measure)
    sides = _Sides(asked, line)
    turns: dict[Side, Callable[[], float]] = {"loadgen": sides.under_loadgen, "bare": sides.bare}
    gc.collect()
    gc.freeze()
    gc.disable()
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    sides.bare()
    for number in range(asked.repeats):
        for name in sorted(turns, reverse=number % 2 == 0):
            line.send(_turn(name, turns[name]))
    sides.executor.close()


if __name__ == "__main__":
    main()
    os._exit(0)  # LoadGen's destructors have nothing to add
