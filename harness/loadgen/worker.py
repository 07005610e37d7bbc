"""The LoadGen process: one test, then the end.

Every way out ends in one last message to the supervisor (Done, Failed or Stopped) and a hard exit,
because LoadGen's destructors abort after an unfinished test.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import threading
import time
from pathlib import Path

from build_engine.errors import EXIT_FAILED, EXIT_OK, EnginebenchError
from harness.loadgen.control import LoadgenTest
from harness.loadgen.folder import TestFolder
from harness.loadgen.given import GivenAnswers
from harness.loadgen.job import Job, Probe, read_job
from harness.loadgen.messages import Done, Failed, Ready, Stopped
from harness.loadgen.orders import Orders
from harness.loadgen.partial import save_rows
from harness.loadgen.replicas import ReplicaLoads
from harness.loadgen.sut import AnswerLimits, SystemUnderTest
from harness.loadgen.warm_up import warm_up
from runtime.backend import load
from runtime.executor import Timing
from runtime.process import Line

SWITCH_INTERVAL_S = 2e-4  # Python's default of 5 ms would show up in the p99 of every latency
_STALL_LATENCIES = 10  # a batch of long prompts gives no token for several times one's latency
_SAVE_S = 2.0  # for the control loop to keep what was measured


def _serve(job: Job, line: Line, orders: Orders) -> int:
    """Load, warm up, wait for the order, run the test; the exit code."""
    from harness.dataset.prompts import load_prompts

    prompts = load_prompts(job.dataset, job.num_samples)
    if job.samples is not None:
        prompts = [prompts[index] for index in job.samples]
    limits = AnswerLimits(
        job.max_new_tokens, job.min_new_tokens, job.stop_ids, streaming=job.first_tokens
    )
    started_s = time.perf_counter()
    executor = load(job.executor)
    load_s = time.perf_counter() - started_s
    warmth = warm_up(executor, prompts, limits, job.warmup_samples)
    single_s = warmth.latency_s
    probe = Probe(load_s, single_s, warmth.samples_per_s, executor.prefix_caching)
    line.tell(Ready(probe, warmth.answer_tokens))
    start = orders.wait_for_start()
    if start is None:
        executor.close()
        return EXIT_OK
    files = TestFolder(start.folder)
    sut = SystemUnderTest(executor, prompts, limits, keep=start.plan.mode == "accuracy")
    gc.collect()
    gc.freeze()
    gc.disable()
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    stall_s = max(job.stall_s, _STALL_LATENCIES * single_s)
    before = executor.stats()
    if isinstance(executor, Timing):
        executor.forget_times()
    cause = LoadgenTest(start, sut, len(prompts), stall_s).run(line, orders)
    if before.replicas:
        ReplicaLoads.between(before, executor.stats()).write(files.replicas)
    sut.finish()  # what is kept and what is told now agree to the last answer
    if cause is None and not orders.stopped.is_set():
        executor.close()
        counts = [num_tokens for *_, num_tokens in sut.records]
        files.token_counts.write_text(json.dumps(counts), encoding="utf-8")
        GivenAnswers.of(sut.records, sut.given, sut.paces).save(files.given)
        line.tell(Done())
        return EXIT_OK
    save_rows(files.partial, sut.records, sut.answers)
    executor.close()
    if cause is None:
        line.tell(Stopped(sut.snapshot()))
        return EXIT_OK
    line.tell(Failed(cause, sut.snapshot()))
    return EXIT_FAILED


def main() -> None:
    """Run the job file of the first argument, on the orders of the supervisor."""
    line = Line.to_parent()
    orders = Orders(line)
    threading.Thread(target=_exit_with_supervisor, args=(orders,), daemon=True).start()
    try:
        code = _serve(read_job(Path(sys.argv[1])), line, orders)
    except EnginebenchError as error:
        line.tell(Failed(str(error), exit_code=error.exit_code))
        code = EXIT_FAILED
    except Exception as error:
        line.tell(Failed(f"{type(error).__name__}: {error}"))
        code = EXIT_FAILED
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _exit_with_supervisor(orders: Orders) -> None:
    """End this process soon after its supervisor, whatever it is doing then."""
    orders.abandoned.wait()
    time.sleep(_SAVE_S)
    os._exit(EXIT_FAILED)


if __name__ == "__main__":
    main()
