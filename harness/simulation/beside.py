"""A simulated run beside what it is in virtual time: what LoadGen measured beyond that is the part
of the harness and of this machine.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.dataset.prompts import prompt_lengths
from harness.loadgen.job import read_job
from harness.rules.rounds import load_round
from harness.simulation.simulated import simulate
from runtime.simulated.spec import SimulatedSpec

if TYPE_CHECKING:
    from harness.runs.run import Run
    from harness.simulation.simulated import SimulatedTest

_MOST_QUERIES = 100_000  # so that nobody waits for it


def in_virtual_time(run: Run) -> SimulatedTest | None:
    """The first performance test with the same queries, as if nothing but the engine took time;
    None where that did not complete, or its prompts are gone, for a very long one, and where no
    engine was simulated.
    """
    record, test = run.record, run.record.tests.performance
    if not isinstance(record.executor, SimulatedSpec) or record.executor.engine is None:
        return None
    if test is None or test.plan is None or test.status != "complete":
        return None
    if test.plan.num_queries > _MOST_QUERIES:
        return None
    job = read_job(run.folder.test("performance").job)
    try:
        prompts = prompt_lengths(job.dataset)
    except FileNotFoundError:
        return None
    answer = min(record.executor.num_tokens, job.max_new_tokens)
    seeds = load_round(record.round).loadgen.seeds
    return simulate(test.plan, record.executor.engine, prompts, [answer] * len(prompts), seeds)
