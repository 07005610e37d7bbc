"""What several performance tests of one run say together."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Literal

from build_engine.errors import UsageError
from harness.runs.record import Repeats, Spread

if TYPE_CHECKING:
    from harness.runs.record import TestRecord

MAX_REPEATS = 1000
_LATENCIES = {"TTFT p99": "ttft_p99_s", "TPOT p99": "tpot_p99_s"}


def check_repeats(option: str, number: int) -> None:
    """Raise UsageError for a number of times that nothing can be measured."""
    if not 1 <= number <= MAX_REPEATS:
        raise UsageError(f"{option} is {number}; give 1 to {MAX_REPEATS:,}.")


def folder_name(number: int) -> str:
    """Where the test of this number lies in a run folder; the first is that of any run."""
    return "performance" if number == 1 else f"performance-{number}"


def with_test(first: TestRecord, earlier: Repeats | None, test: TestRecord) -> Repeats:
    """The repeats of `first` with one more, and the spread of those that are complete."""
    tests = (*(earlier.tests if earlier else ()), test)
    return Repeats(tests=tests, spreads=tuple(_spreads([first, *tests])))


def _spreads(tests: Sequence[TestRecord]) -> Iterator[Spread]:
    """Of the result, and of the latencies that are measured."""
    complete = [test for test in tests if test.metrics is not None]
    results = [test.primary for test in complete if test.primary is not None]
    if results:
        values = [result.value for result in results]
        yield _spread(results[0].key, results[0].unit, values)
    for name, field in _LATENCIES.items():
        times_s = [getattr(test.metrics, field) for test in complete]
        if times_s and None not in times_s:
            yield _spread(name, "ms", [time_s * 1e3 for time_s in times_s])


def _spread(name: str, unit: Literal["ms", "tokens/s"], values: Sequence[float]) -> Spread:
    return Spread(
        name=name, unit=unit, median=statistics.median(values), low=min(values), high=max(values)
    )
