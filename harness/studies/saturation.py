"""Where the head of replicas saturates, and what bounds a run over them, by what the run measured
of both.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from build_engine.validation import counted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runtime.executor import HeadLoad, ReplicaLoad

Bound: TypeAlias = Literal["replicas", "requests", "head", "processor", "loadgen"]
"""What a run had no more of: what its replicas compute, requests for all of them all the time, what
the head does by itself, processor time for it, or what LoadGen's process takes in.
"""

_FULL = 0.9  # of the time: from then on something is called busy all the time
_MOST = 0.5


@dataclass(frozen=True, slots=True)
class Saturation:
    """The tokens/s of a run, and what its head and replicas did meanwhile."""

    tokens_per_s: float
    head: HeadLoad
    loads: tuple[ReplicaLoad, ...]

    @classmethod
    def of(
        cls, tokens_per_s: float | None, head: HeadLoad | None, loads: Sequence[ReplicaLoad]
    ) -> Saturation | None:
        """That of a test; None where it has no rate, or its head told nothing."""
        if not tokens_per_s or not loads or head is None or not head.busy_s:
            return None
        return cls(tokens_per_s, head, tuple(loads))

    @property
    def busy_share(self) -> float:
        """Of the time with a request open, in which the head did not wait for a message."""
        return self.head.busy_s / self.head.open_s

    @property
    def saturated(self) -> bool:
        """Whether it could hardly have done more."""
        return self.busy_share >= _FULL

    @property
    def at_tokens_per_s(self) -> float:
        """Where it would be busy all the time, were that as much for each token as in this run."""
        return self.tokens_per_s / self.busy_share

    @property
    def replicas_busy(self) -> tuple[float, float]:
        """The share of the time in which the least and the most used replica had a request, of
        those that were not lost.
        """
        left = [load for load in self.loads if load.lost is None] or self.loads
        shares = [min(load.busy_s / self.head.open_s, 1.0) for load in left]
        return min(shares), max(shares)

    @property
    def bound(self) -> Bound:
        """What this run could not have more of."""
        head = self.head
        if not self.saturated:
            return "replicas" if self.replicas_busy[0] >= _FULL else "requests"
        if head.telling_s > _MOST * head.busy_s and head.cpu_s < _MOST * head.busy_s:
            return "loadgen"  # telling takes time of our own, too
        return "head" if head.process_cpu_s > _MOST * head.busy_s else "processor"

    @property
    def sentence(self) -> str:
        """All of this, for people."""
        head = self.head
        did = ", ".join(
            f"{what} {spent_s / head.open_s:.1%}"
            for what, spent_s in (
                ("handing out requests", head.handing_s),
                ("passing on answers", head.passing_s),
                ("until LoadGen's process took them", head.telling_s),
            )
        )
        each_us = head.cpu_s / max(head.messages, 1) * 1e6
        where = (
            "It is saturated"
            if self.saturated
            else f"By that share it saturates at {self.at_tokens_per_s:,.0f} tokens/s"
        )
        return (
            f"With {counted(len(self.loads), 'replica')} the head was busy {self.busy_share:.1%} "
            f"of the time at {self.tokens_per_s:,.0f} tokens/s ({did}): {each_us:,.0f} µs "
            f"of processor time for each of {head.messages:,d} messages. {where}; {self._bounds}."
        )

    @property
    def _bounds(self) -> str:
        head, (least, most) = self.head, self.replicas_busy
        had = f"{least:.0%}" if round(least, 2) == round(most, 2) else f"{least:.0%} to {most:.0%}"
        match self.bound:
            case "replicas":
                return f"what bounds the run are the replicas, which had requests {had} of the time"
            case "requests":
                return (
                    f"replicas had requests {had} of the time, so what bounds the run is that "
                    "there were not enough for all of them until its end"
                )
            case "loadgen":
                return "what bounds it is LoadGen's process, which took in no more"
            case "processor":
                return (
                    f"what bounds it is this machine: its process had {self._processors:.1f} of a "
                    "processor"
                )
            case "head":
                handing = head.handing_s > head.passing_s
                most_of = "handing out requests" if handing else "passing on answers"
                return (
                    f"what bounds it is its own work, most of it {most_of}, with "
                    f"{self._processors:.1f} of a processor for its process"
                )

    @property
    def _processors(self) -> float:
        return self.head.process_cpu_s / self.head.busy_s
