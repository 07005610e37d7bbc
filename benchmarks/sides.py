"""The process of the benchmarks that compare sides in turn (`benchmarks/turns.py`).

All sides share everything but what is compared: the process, its settings, the samples and their
order. A first pass that does not count lets each engine meet every shape; without it whichever side
came first would pay for that.
"""

from __future__ import annotations

import functools
import gc
import os
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

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
from runtime.executor import Executor, Request
from runtime.process import Line
from runtime.spec import ExecutorSpec

_settings = functools.cache(LoadgenPlan.test_settings)


class _Plan(LoadgenPlan):
    """Reads LoadGen's settings once: a second time in a process they lack its built-in conf."""

    def test_settings(self, user_conf: Path) -> Any:
        return _settings(self, user_conf)


class _Sides:
    """The ways of answering every sample once, with all their executors loaded."""

    def __init__(self, asked: Measure, line: Line) -> None:
        job, start = asked.job, asked.start
        self._job, self._line = job, line
        self._start = StartTest(_Plan(**asdict(start.plan)), start.folder)
        self._orders = Orders(line)
        self._prompts = load_prompts(job.dataset, job.num_samples)
        self._limits = AnswerLimits(
            job.max_new_tokens, job.min_new_tokens, job.stop_ids, streaming=job.first_tokens
        )
        self._requests = [
            Request(
                number,
                self._prompts[index],
                job.max_new_tokens,
                job.min_new_tokens,
                job.stop_ids,
                streaming=job.first_tokens,
            )
            for number, index in enumerate(asked.order)
        ]
        self._sides = asked.sides
        self._executors: dict[ExecutorSpec, Executor] = {}
        for side in asked.sides:
            if side.executor not in self._executors:
                self._executors[side.executor] = load(side.executor)

    def warm_up(self) -> None:
        """Have every executor answer all samples."""
        for executor in self._executors.values():
            drive(executor, self._requests)

    def turns(self, *, forwards: bool) -> None:
        """Tell a turn of each side."""
        for side in self._sides if forwards else reversed(self._sides):
            self._line.send(self._turn(side, self._executors[side.executor]))

    def close(self) -> None:
        """Close every executor."""
        for executor in self._executors.values():
            executor.close()

    def _turn(self, side: Side, executor: Executor) -> Turn:
        started_s, cpu_s = time.perf_counter(), time.process_time()
        if side.loadgen:
            rate = self._under_loadgen(executor)
        else:
            rate = drive(executor, self._requests).tokens_per_s
        share = (time.process_time() - cpu_s) / (time.perf_counter() - started_s)
        return Turn(side.name, rate, cpu_percent=100 * share / len(os.sched_getaffinity(0)))

    def _under_loadgen(self, executor: Executor) -> float:
        """Tokens a second, by LoadGen's log."""
        sut = SystemUnderTest(executor, self._prompts, self._limits, keep=False)
        test = LoadgenTest(self._start, sut, self._job.num_samples, self._job.stall_s)
        cause = test.run(self._line, self._orders)
        sut.finish()
        if cause:
            raise RunFailed(f"the LoadGen side failed: {cause}")
        return logs.read_detail(self._start.folder).metrics().tokens_per_s or 0.0


def main() -> None:
    """Tell the turns of all sides, in the order A B, B A, A B."""
    line = Line.to_parent()
    asked = line.receive()
    assert isinstance(asked, Measure)
    sides = _Sides(asked, line)
    gc.collect()
    gc.freeze()
    gc.disable()
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    sides.warm_up()
    for number in range(asked.repeats):
        sides.turns(forwards=number % 2 == 0)
    sides.close()


if __name__ == "__main__":
    main()
    os._exit(0)  # LoadGen's destructors have nothing to add
