"""The simulated engine: hours of a device in virtual time, and LoadGen in real time at a rate that
no engine here could hold.
"""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import a30, under_loadgen
from benchmarks.ceiling import save_dataset
from benchmarks.result import Figure, Result
from harness.loadgen import logs
from harness.loadgen.job import Job
from harness.rules.rounds import DEFAULT, load_round
from harness.rules.scenario import Scenario
from harness.simulation.simulated import SimulatedTest, simulate
from runtime.simulated.model import EngineModel
from runtime.simulated.spec import SimulatedSpec

if TYPE_CHECKING:
    from harness.loadgen.metrics import Metrics
    from harness.progress import Progress

VIRTUAL_GOAL_S = 60.0
NUM_SAMPLES, ANSWER_TOKENS = 13_368, 128
_SERVER_GOAL = 10_000.0
_KEPT_UP = 0.99  # of the foretold rate: what ends later has queued
_PROMPT_TOKENS = 256
_ITERATION_S = 0.002
_PEAKS = ("linear_flops_per_s", "other_flops_per_s", "bytes_per_s")
_STREAM_INTERVAL = 64  # a chunk for each token is work of an engine's process, which is not here


@dataclass(frozen=True, slots=True)
class Load:
    """How much is asked: samples in virtual time, and a Server rate for some seconds."""

    samples: int = NUM_SAMPLES
    server_qps: float = _SERVER_GOAL
    server_s: float = 6.0


def measure(load: Load, repeats: int, progress: Progress) -> Result:
    """`repeats` times Offline in virtual time, and Server in real time beside what virtual time
    foretells of it.
    """
    took, agreed = list[float](), list[float]()
    rates, kept, added = list[float](), list[float](), list[float]()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        save_dataset(folder)
        for number in range(repeats):
            progress.phase(f"simulation: test {number + 1} of {repeats} of each kind")
            began_s = time.perf_counter()
            simulated = offline(0.5, load.samples)
            took.append(time.perf_counter() - began_s)
            agreed.append(
                (simulated.metrics.samples_per_s or 0.0) / a30.closed_form(0.5, ANSWER_TOKENS)
            )
            foretold, found = _server(folder, load, folder / f"server-{number}")
            rates.append(found.samples_per_s or 0.0)
            kept.append(rates[-1] / (foretold.samples_per_s or 1.0))
            added.append(1e3 * ((found.ttft_p99_s or 0.0) - (foretold.ttft_p99_s or 0.0)))
    return Result(
        title="Simulated engine",
        figures=(
            Figure("Offline in virtual time", "s", tuple(took), at_most=VIRTUAL_GOAL_S),
            Figure("Offline's rate / the closed form's", "", tuple(agreed)),
            Figure(f"Server asked for {load.server_qps:,.0f}", "queries/s", tuple(rates)),
            Figure("its rate / the foretold", "", tuple(kept), at_least=_KEPT_UP),
            Figure("its TTFT p99, added to the foretold", "ms", tuple(added)),
        ),
        notes=(
            f"Offline: {load.samples:,} samples on an A30 in INT8, half of its arithmetic",
            f"Server: LoadGen for {load.server_s:.0f} s, iterations of 2 ms, {ANSWER_TOKENS} ids "
            f"an answer, a chunk of each every {_STREAM_INTERVAL} iterations",
        ),
    )


def offline(efficiency: float, num_samples: int = NUM_SAMPLES) -> SimulatedTest:
    """Offline on the A30, in virtual time."""
    plan = under_loadgen.plan(Scenario.OFFLINE, num_samples, num_samples)
    seeds = load_round(DEFAULT).loadgen.seeds
    prompts = a30.prompt_tokens(num_samples)
    return simulate(plan, a30.engine(efficiency), prompts, [ANSWER_TOKENS] * num_samples, seeds)


def _server(dataset: Path, load: Load, folder: Path) -> tuple[Metrics, Metrics]:
    """What virtual time foretells of a Server test, and what LoadGen measures."""
    model = EngineModel(
        time=a30.TIMES.model_copy(
            update={"overhead_s": _ITERATION_S, **dict.fromkeys(_PEAKS, 1e30)}
        ),
        kv_blocks=10**6,
        max_batch_size=10**5,
        max_num_tokens=10**6,
    )
    plan = under_loadgen.plan(Scenario.SERVER, NUM_SAMPLES, 1, load.server_s, load.server_qps)
    prompts, answers = [_PROMPT_TOKENS] * NUM_SAMPLES, [ANSWER_TOKENS] * NUM_SAMPLES
    foretold = simulate(plan, model, prompts, answers, load_round(DEFAULT).loadgen.seeds)
    job = Job(
        executor=SimulatedSpec(
            num_tokens=ANSWER_TOKENS, engine=model, stream_interval=_STREAM_INTERVAL
        ),
        dataset=dataset,
        num_samples=NUM_SAMPLES,
        max_new_tokens=ANSWER_TOKENS,
        min_new_tokens=1,
        stop_ids=(2,),
        warmup_samples=64,
    )
    under_loadgen.run(job, plan, folder)
    return foretold.metrics, logs.read_detail(folder).metrics()
