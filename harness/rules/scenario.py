"""The four scenarios, and the facts by which they differ: nothing else asks which one it is."""

from __future__ import annotations

from enum import Enum


class Scenario(str, Enum):
    """A scenario by the name that MLPerf gives it."""

    OFFLINE = "Offline"
    SERVER = "Server"
    INTERACTIVE = "Interactive"
    SINGLE_STREAM = "SingleStream"

    def __str__(self) -> str:
        return self.value

    @property
    def has_rate(self) -> bool:
        """Whether queries arrive at a rate, which is held under latency limits."""
        return self in (Scenario.SERVER, Scenario.INTERACTIVE)

    @property
    def has_first_tokens(self) -> bool:
        """Whether LoadGen is told of first tokens; in Offline nobody waits for one."""
        return self is not Scenario.OFFLINE

    @property
    def ends_by_clock(self) -> bool:
        """Whether a test without equal issue ends with its duration, however many queries that
        were: each query waits for the last.
        """
        return self is Scenario.SINGLE_STREAM

    @property
    def loadgen_name(self) -> str:
        """What LoadGen calls it: Interactive is Server under other limits."""
        return "Server" if self is Scenario.INTERACTIVE else self.value
