"""The LoadGen process: one test, then the end.

LoadGen takes its process down when a callback raises and waits for ever when a sample is lost, so
it runs in a process of its own: `StartTest` on a thread, one thread for responses, and a control
loop that watches both. Every way out ends in one last message to the supervisor (`done`, `failed`
or `stopped`) and a hard exit, because LoadGen's destructors abort after an unfinished test.
"""

from __future__ import annotations

import contextlib
import dataclasses
import gc
import json
import os
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from build_engine.errors import EXIT_FAILED, EXIT_OK, EnginebenchError, RunFailed
from harness.loadgen.job import Job, Probe, StartTest
from harness.loadgen.sut import AnswerLimits, SystemUnderTest
from runtime.executor import Executor, Request
from runtime.load import load

if TYPE_CHECKING:
    from runtime.executor import TokenIds

_TICK_S = 0.1
_REPORT_S = 0.5
SWITCH_INTERVAL_S = 2e-4  # Python's default of 5 ms would show up in the p99 of every latency
_WARMUP_TIMEOUT_S = 900.0
_WARMUP_SINGLES = 3
_WARMUP_SINGLES_S = 3.0  # spent on them; one at least
_WARMUP_BATCH_S = 300.0  # a batch that would take longer one by one is made smaller
_WARMUP_LEAST = 8
_STALL_LATENCIES = 10  # a batch of long prompts gives no token for several times one's latency


class Messages:
    """JSON lines to the supervisor."""

    def __init__(self, fd: int) -> None:
        self._file = os.fdopen(fd, "w", encoding="utf-8")

    def send(self, kind: str, **body: Any) -> None:
        """One message; flushed, because the process may end any time. It is lost when the
        supervisor was killed.
        """
        with contextlib.suppress(BrokenPipeError):
            self._file.write(json.dumps({"kind": kind, **body}) + "\n")
            self._file.flush()


class Orders:
    """What the supervisor says on standard input: a StartTest line, later `stop`; its end means the
    same as `stop`.
    """

    def __init__(self) -> None:
        self.stopped = threading.Event()
        self.abandoned = threading.Event()
        self._start: str | None = None
        self._started = threading.Event()
        threading.Thread(target=self._read, name="orders", daemon=True).start()

    def wait_for_start(self) -> StartTest | None:
        """The test to run, or None when there will be none."""
        self._started.wait()
        return StartTest.from_json(self._start) if self._start else None

    def _read(self) -> None:
        for line in sys.stdin:
            if line.strip() == "stop":
                self.stopped.set()
            else:
                self._start = line
            self._started.set()
        self.abandoned.set()
        self.stopped.set()
        self._started.set()


def warm_up(
    executor: Executor, prompts: Sequence[TokenIds], limits: AnswerLimits, num_samples: int
) -> tuple[float, float]:
    """Run one request, then `num_samples` together (fewer with a slow engine), twice, of lengths
    spread over the dataset's, then some alone.

    Returns the shortest latency alone in seconds and the second batch's samples a second: while
    shapes are new to an engine it is up to a quarter slower, and plans would ask for too little.
    """
    by_length = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
    alone = [prompts[by_length[len(by_length) // 2]]]
    first_s = _time(executor, alone, limits)
    num_samples = min(num_samples, max(_WARMUP_LEAST, int(_WARMUP_BATCH_S / first_s)))
    step = len(by_length) / num_samples
    spread = [prompts[by_length[int(i * step)]] for i in range(num_samples)]
    _time(executor, spread, limits)
    batch_s = _time(executor, spread, limits)
    single_s = [_time(executor, alone, limits)]
    while len(single_s) < _WARMUP_SINGLES and sum(single_s) < _WARMUP_SINGLES_S:
        single_s.append(_time(executor, alone, limits))
    return min(single_s), num_samples / batch_s


def _time(executor: Executor, prompts: Sequence[TokenIds], limits: AnswerLimits) -> float:
    requests = [
        Request(i, ids, limits.max_new_tokens, limits.min_new_tokens, limits.stop_ids)
        for i, ids in enumerate(prompts)
    ]
    started_s = time.perf_counter()
    executor.submit(requests)
    num_open, num_tokens = len(requests), 0
    while num_open:
        for chunk in executor.poll(0.1):
            if chunk.error:
                raise RunFailed(f"the engine failed in the warm-up: {chunk.error}")
            num_open -= chunk.finished
            num_tokens += len(chunk.token_ids)
        if time.perf_counter() - started_s > _WARMUP_TIMEOUT_S:
            why = (
                "this machine is too slow for the engine; take a smaller checkpoint, or a recipe "
                "with fewer bits"
                if num_tokens
                else "the engine gave no token at all"
            )
            raise RunFailed(f"the warm-up did not end within {_WARMUP_TIMEOUT_S:.0f} s: {why}")
    return time.perf_counter() - started_s


class LoadgenTest:
    """One LoadGen test over an executor that is loaded and warm."""

    def __init__(
        self, start: StartTest, sut: SystemUnderTest, num_samples: int, stall_s: float
    ) -> None:
        self._start = start
        self._sut = sut
        self._num_samples = num_samples
        self._stall_s = stall_s
        self._error: str | None = None
        self._thread = threading.Thread(target=self._run, name="loadgen", daemon=True)

    def run(self, messages: Messages, orders: Orders) -> str | None:
        """Run to the end; the cause when the test failed, None when it completed.

        Returns as well, without waiting for LoadGen, when the supervisor says stop.
        """
        started_s = time.perf_counter()
        self._sut.start()
        self._thread.start()
        reported_s = 0.0
        while self._thread.is_alive() and not orders.stopped.is_set():
            self._thread.join(_TICK_S)
            cause = self._error or self._sut.failure or self._stalled()
            if cause:
                return cause
            elapsed_s = time.perf_counter() - started_s
            if elapsed_s - reported_s >= _REPORT_S:
                reported_s = elapsed_s
                messages.send("progress", elapsed_s=elapsed_s, **self._sut.snapshot())
        if not orders.stopped.is_set():
            messages.send(
                "progress", elapsed_s=time.perf_counter() - started_s, **self._sut.snapshot()
            )
        return self._error or self._sut.failure

    def _stalled(self) -> str | None:
        silent_s = time.perf_counter() - self._sut.last_sign_s
        if self._sut.num_open and silent_s > self._stall_s:
            return (
                f"the engine gave no token for {silent_s:.0f} s while {self._sut.num_open} queries "
                f"were open"
            )
        return None

    def _run(self) -> None:
        import mlperf_loadgen as lg

        try:
            settings = self._start.plan.test_settings(self._start.folder / "user.conf")
            logs = lg.LogSettings()
            logs.enable_trace = False
            logs.log_output.outdir = str(self._start.folder)
            none = self._start.folder / "no-audit.config"
            audit = self._start.audit_config or none
            sut = lg.ConstructSUT(self._sut.issue, self._sut.flush)
            qsl = lg.ConstructQSL(self._num_samples, self._num_samples, _ignore, _ignore)
            lg.StartTestWithLogSettings(sut, qsl, settings, logs, str(audit))
            lg.DestroyQSL(qsl)
            lg.DestroySUT(sut)
        except Exception as error:  # the control loop is the one to say it
            self._error = f"LoadGen: {error}"


def _ignore(_indices: Sequence[int]) -> None:
    """Samples are in memory all along: there is nothing to load or unload."""


def _save_partial(sut: SystemUnderTest, folder: Path) -> None:
    """What an unfinished test measured, one JSON line a completed sample."""
    temporary = folder / ".partial.jsonl"
    with temporary.open("w", encoding="utf-8") as file:
        for index, ttft_s, latency_s, num_tokens in list(sut.records):
            row = {
                "sample": index,
                "ttft_s": round(ttft_s, 6),
                "latency_s": round(latency_s, 6),
                "num_tokens": num_tokens,
            }
            if index in sut.answers:
                row["token_ids"] = sut.answers[index].tolist()
            file.write(json.dumps(row) + "\n")
    temporary.rename(folder / "partial.jsonl")


def _serve(job: Job, messages: Messages, orders: Orders) -> int:
    """Load, warm up, wait for the order, run the test; the exit code."""
    from harness.dataset.prompts import load_prompts

    prompts = load_prompts(job.dataset, job.num_samples)
    limits = AnswerLimits(job.max_new_tokens, job.min_new_tokens, job.stop_ids)
    started_s = time.perf_counter()
    executor = load(job.executor)
    load_s = time.perf_counter() - started_s
    single_s, rate = warm_up(executor, prompts, limits, job.warmup_samples)
    probe = Probe(load_s, single_s, rate, executor.prefix_caching)
    messages.send("ready", **dataclasses.asdict(probe))
    start = orders.wait_for_start()
    if start is None:
        executor.close()
        return EXIT_OK
    keep = start.plan.mode == "accuracy"
    sut = SystemUnderTest(executor, prompts, limits, keep=keep)
    gc.collect()
    gc.freeze()
    gc.disable()
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    stall_s = max(job.stall_s, _STALL_LATENCIES * single_s)
    cause = LoadgenTest(start, sut, job.num_samples, stall_s).run(messages, orders)
    if cause is None and not orders.stopped.is_set():
        sut.finish()
        executor.close()
        counts = [num_tokens for *_, num_tokens in sut.records]
        (start.folder / "token_counts.json").write_text(json.dumps(counts), encoding="utf-8")
        messages.send("done")
        return EXIT_OK
    _save_partial(sut, start.folder)
    executor.close()
    if cause is None:
        messages.send("stopped", **sut.snapshot())
        return EXIT_OK
    messages.send("failed", cause=cause, **sut.snapshot())
    return EXIT_FAILED


def main() -> None:
    """Run the job file of the first argument; messages go to the file descriptor of the second."""
    messages = Messages(int(sys.argv[2]))
    orders = Orders()
    threading.Thread(target=_exit_with_supervisor, args=(orders,), daemon=True).start()
    try:
        job = Job.from_json(Path(sys.argv[1]).read_text(encoding="utf-8"))
        code = _serve(job, messages, orders)
    except EnginebenchError as error:
        messages.send("failed", cause=str(error), exit_code=error.exit_code)
        code = EXIT_FAILED
    except Exception as error:
        messages.send("failed", cause=f"{type(error).__name__}: {error}")
        code = EXIT_FAILED
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _exit_with_supervisor(orders: Orders) -> None:
    """End this process soon after its supervisor, whatever it is doing then."""
    orders.abandoned.wait()
    time.sleep(2.0)  # time for the control loop to keep what was measured
    os._exit(EXIT_FAILED)


if __name__ == "__main__":
    main()
