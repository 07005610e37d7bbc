"""A probe as it goes on: how many of its answers are beyond a limit, and when that is enough to
give it up.
"""

from __future__ import annotations

from harness.search.outcome import ProbeOutcome, Step, Tail


class Watch:
    """The answers of one probe. It is `lost` once more than `most` are beyond one limit."""

    def __init__(self, ttft_s: float, tpot_s: float, most: int) -> None:
        self._limits_s = (ttft_s, tpot_s)
        self._most = most
        self._over = [0, 0]
        self._seen_s: tuple[list[float], list[float]] = ([], [])

    def add(self, ttft_s: float, latency_s: float, num_tokens: int) -> None:
        """One more answer: seconds to its first token and to its last, and its tokens."""
        self._add(0, ttft_s)
        if num_tokens > 1:
            self._add(1, (latency_s - ttft_s) / (num_tokens - 1))

    @property
    def lost(self) -> bool:
        """Whether nothing that may still come could mend it."""
        return max(self._over) > self._most

    @property
    def num_answers(self) -> int:
        """Answers so far."""
        return len(self._seen_s[0])

    def outcome(self, step: Step, *, given_up: bool, valid: bool | None = None) -> ProbeOutcome:
        """What the probe showed, at its end."""
        ttft, tpot = (
            Tail(limit_s=limit_s, p99_s=_p99(seen_s), over=over, p50_s=_p50(seen_s))
            for limit_s, seen_s, over in zip(self._limits_s, self._seen_s, self._over, strict=True)
        )
        return ProbeOutcome(
            kind=step.kind,
            rate=step.rate,
            # LoadGen goes on until the minimum duration is full, too
            queries=max(step.queries, self.num_answers),
            limits=step.limits,
            turn=step.turn,
            answered=self.num_answers,
            given_up=given_up,
            ttft=ttft,
            tpot=tpot,
            valid=valid,
        )

    def _add(self, which: int, value_s: float) -> None:
        self._seen_s[which].append(value_s)
        self._over[which] += value_s >= self._limits_s[which]


def _p99(values_s: list[float]) -> float:
    """As LoadGen takes it; 0 where there are no values."""
    return sorted(values_s)[len(values_s) * 99 // 100] if values_s else 0.0


def _p50(values_s: list[float]) -> float | None:
    """The same in the middle; None where there are no values."""
    return sorted(values_s)[len(values_s) // 2] if values_s else None
