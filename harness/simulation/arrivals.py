"""Which samples LoadGen asks for and when, without LoadGen: in virtual time it cannot run.

Where queries come at a rate, times and samples are LoadGen's own, from the same generators and
seeds: a test is known before it is made, and only the engine's answers are not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.simulation.order import DrawnOrder

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from harness.loadgen.settings import LoadgenPlan
    from harness.rules.rounds import Seeds

    Seconds = NDArray[np.float64]
    Indexes = NDArray[np.int64]

_WORD = 2.0**32


def arrivals_s(plan: LoadgenPlan, seeds: Seeds) -> Seconds | None:
    """When each query of a performance test is issued, in seconds from its start; None where each
    waits for the answer to the last.

    Source of those at a rate: `GenerateQueries` and `ScheduleDistribution<Server>` in `loadgen.cc`.
    Queries come until both the minimum duration and the least number are reached, and with equal
    issue until the pass over the samples is whole; time is counted in nanoseconds.
    """
    import numpy as np

    if plan.scenario.one_at_a_time:
        return None
    if plan.scenario.all_at_once:
        return np.zeros(plan.num_queries)
    times = _poisson(plan.target_rate, plan.num_queries, seeds.schedule)
    while times[-1] < plan.min_duration_s:
        times = _poisson(plan.target_rate, 2 * len(times), seeds.schedule)
    enough = int(np.searchsorted(times, plan.min_duration_s)) + 1
    count = plan.passes(max(plan.least_queries, enough))
    if count > len(times):
        times = _poisson(plan.target_rate, count, seeds.schedule)
    return times[:count]


def samples(plan: LoadgenPlan, count: int, seeds: Seeds) -> Indexes:
    """The sample of each of `count` queries: whole passes in a random order each with equal issue,
    in the order of the dataset in Offline without, and otherwise any sample at any time.
    """
    import numpy as np

    if plan.scenario.all_at_once and not plan.equal_issue:
        return np.arange(count) % plan.num_samples
    least = count if plan.scenario.all_at_once else plan.least_queries
    order = DrawnOrder(plan.num_samples, least, seeds)
    return np.array(order.by_passes(count) if plan.equal_issue else order.by_chance(count))


def _poisson(rate: float, count: int, seed: int) -> Seconds:
    """Times of a process of this rate, the first at 0, as `std::exponential_distribution` draws
    the intervals from `std::mt19937`: two words, the lower first, make a number below 1.
    """
    import numpy as np

    words = np.random.RandomState(seed % 2**32).randint(0, 2**32, (count - 1, 2), np.uint32)
    uniform = (words[:, 0] + words[:, 1] * _WORD) / _WORD**2
    steps_ns = np.floor(-np.log(1.0 - uniform) / rate * 1e9)
    return np.concatenate([[0.0], np.cumsum(steps_ns)]) / 1e9
