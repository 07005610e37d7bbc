"""The four scenarios, and the facts by which they differ: nothing else asks which one it is.

Sources: MLCommons, inference, `loadgen/` (the files named below), and inference_policies,
`inference_rules.adoc`, section "Scenarios".
"""

from __future__ import annotations

from enum import Enum


class Scenario(str, Enum):
    """A scenario by the name that MLPerf gives it.

    Queries come `all_at_once`, at a rate (`has_rate`), or `one_at_a_time`: exactly one of these.
    """

    OFFLINE = "Offline"
    SERVER = "Server"
    INTERACTIVE = "Interactive"
    SINGLE_STREAM = "SingleStream"

    def __str__(self) -> str:
        return self.value

    # Equal to its name as text, so of the same hash: an enumeration's own is that of OFFLINE.
    __hash__ = str.__hash__

    @classmethod
    def named(cls, name: object) -> Scenario | None:
        """The scenario of this very name; None for any other, as LoadGen's MultiStream."""
        return next((each for each in cls if each.value == name), None)

    @property
    def all_at_once(self) -> bool:
        """Whether LoadGen asks for every sample in one query, at the start.

        Source: `test_settings_internal.cc`, "coalesce all queries into a single query".
        """
        return self is Scenario.OFFLINE

    @property
    def has_rate(self) -> bool:
        """Whether queries arrive at random times of a given rate, so that latencies have limits.

        Source: `results.cc`, PerformanceSummary::HasPerfConstraints; the checker's
        LLM_LATENCY_LIMITS.
        """
        return self in (Scenario.SERVER, Scenario.INTERACTIVE)

    @property
    def one_at_a_time(self) -> bool:
        """Whether each query waits for the answer to the last: there is no rate, and a test without
        equal issue ends with its duration, however many queries that were.

        Source: `test_settings_internal.cc`, max_async_queries = 1 and its target rate, the inverse
        of the expected latency.
        """
        return self is Scenario.SINGLE_STREAM

    @property
    def has_first_tokens(self) -> bool:
        """Whether LoadGen must be told of first tokens; in Offline nobody waits for one.

        Source: `loadgen.cc`, `needs_first_token`.
        """
        return self is not Scenario.OFFLINE

    @property
    def loadgen_name(self) -> str:
        """What LoadGen calls it: Interactive is Server under other limits.

        Source: `mlperf.conf`, "Target Latencies for interactive setting", keys of `Server`.
        """
        return str(Scenario.SERVER if self is Scenario.INTERACTIVE else self)
