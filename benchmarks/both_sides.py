"""The process of the efficiency benchmark: one engine, under LoadGen and bare in turn.

Both sides share everything but LoadGen and the harness around it: the process, its settings, the
loaded engine, the requests and their order. A first pass that does not count lets the engine meet
every shape; without it whichever side came first would pay for that.
"""

from __future__ import annotations

import functools
import gc
import json
import os
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.drive import drive
from build_engine.errors import RunFailed
from harness.dataset.prompts import load_prompts
from harness.loadgen import logs
from harness.loadgen.job import Job, StartTest
from harness.loadgen.settings import LoadgenPlan
from harness.loadgen.sut import AnswerLimits, SystemUnderTest
from harness.loadgen.worker import SWITCH_INTERVAL_S, LoadgenTest, Messages, Orders
from runtime.executor import Request
from runtime.load import load

if TYPE_CHECKING:
    from collections.abc import Callable

_settings = functools.cache(LoadgenPlan.test_settings)


class _Plan(LoadgenPlan):
    """Reads LoadGen's settings once: a second time in a process they lack its built-in conf."""

    def test_settings(self, user_conf: Path) -> Any:
        return _settings(self, user_conf)


class _Sides:
    """The two ways of answering every sample once."""

    def __init__(self, job: Job, start: StartTest, order: list[int], messages: Messages) -> None:
        self._job, self._messages = job, messages
        self._start = StartTest(_Plan(**asdict(start.plan)), start.folder)
        self._orders = Orders()
        self._prompts = load_prompts(job.dataset, job.num_samples)
        self._limits = AnswerLimits(job.max_new_tokens, job.min_new_tokens, job.stop_ids)
        self._requests = [
            Request(i, self._prompts[index], job.max_new_tokens, job.min_new_tokens, job.stop_ids)
            for i, index in enumerate(order)
        ]
        self.executor = load(job.executor)

    def under_loadgen(self) -> float:
        """Tokens a second, by LoadGen's log."""
        sut = SystemUnderTest(self.executor, self._prompts, self._limits, keep=False)
        test = LoadgenTest(self._start, sut, self._job.num_samples, self._job.stall_s)
        cause = test.run(self._messages, self._orders)
        sut.finish()
        if cause:
            raise RunFailed(f"the LoadGen side failed: {cause}")
        return logs.read_detail(self._start.folder).metrics()["tokens_per_s"]

    def bare(self) -> float:
        """Tokens a second, from the submission to the last token."""
        return drive(self.executor, self._requests).tokens_per_s


def _turn(side: Callable[[], float]) -> dict[str, float]:
    """One side's rate, and the CPU time of this process meanwhile as a percentage of all CPUs."""
    started_s, cpu_s = time.perf_counter(), time.process_time()
    rate = side()
    share = (time.process_time() - cpu_s) / (time.perf_counter() - started_s)
    return {"tokens_per_s": rate, "cpu_percent": 100 * share / len(os.sched_getaffinity(0))}


def main(folder: Path, repeats: int) -> None:
    """Send the `repeats` turns of each side, in the order A B, B A, A B, as messages on standard
    output.
    """
    read = {name: (folder / f"{name}.json").read_text() for name in ("job", "start", "order")}
    messages = Messages(sys.stdout.fileno())
    start = StartTest.from_json(read["start"])
    sides = _Sides(Job.from_json(read["job"]), start, json.loads(read["order"]), messages)
    turns = {"loadgen": sides.under_loadgen, "bare": sides.bare}
    gc.collect()
    gc.freeze()
    gc.disable()
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    sides.bare()
    for number in range(repeats):
        for name in sorted(turns, reverse=number % 2 == 0):
            messages.send("turn", side=name, **_turn(turns[name]))
    sides.executor.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
    os._exit(0)  # LoadGen's destructors have nothing to add
