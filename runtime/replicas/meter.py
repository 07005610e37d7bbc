"""What the head's thread does with its time while requests are open: whether it could do more."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Literal, TypeAlias

from runtime.executor import HeadLoad

Part: TypeAlias = Literal["waiting", "passing", "handing", "telling"]


class Meter:
    """The clocks of one thread, which makes it and calls it."""

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        cpu_clock: Callable[[], float] = time.thread_time,
        process_clock: Callable[[], float] = time.process_time,
    ) -> None:
        self._clock, self._cpu_clock, self._process_clock = clock, cpu_clock, process_clock
        self._part: Part = "waiting"
        self._part_since_s, self._round_since_s = clock(), (cpu_clock(), process_clock())
        self._part_counts = self._round_counts = False
        self._spent_s: dict[Part, float] = {
            "waiting": 0.0,
            "passing": 0.0,
            "handing": 0.0,
            "telling": 0.0,
        }
        self._cpu_s = self._process_cpu_s = 0.0
        self._messages = 0

    def begin(self, part: Part, *, open_requests: int) -> None:
        """What was done until now has ended, and this begins; its time counts where requests are
        open. A round begins with waiting.
        """
        now_s = self._clock()
        if self._part_counts:
            self._spent_s[self._part] += now_s - self._part_since_s
        self._part, self._part_since_s, self._part_counts = part, now_s, open_requests > 0
        if part == "waiting":
            self._end_round()  # once a round: clocks of processors take longer to read
        self._round_counts |= self._part_counts

    def heard(self) -> None:
        """A message is dealt with."""
        self._messages += self._part_counts

    @property
    def load(self) -> HeadLoad:
        """All until the last `begin`."""
        return HeadLoad(
            open_s=sum(self._spent_s.values()),
            handing_s=self._spent_s["handing"],
            passing_s=self._spent_s["passing"],
            telling_s=self._spent_s["telling"],
            cpu_s=self._cpu_s,
            process_cpu_s=self._process_cpu_s,
            messages=self._messages,
        )

    def _end_round(self) -> None:
        cpu_s, process_cpu_s = self._cpu_clock(), self._process_clock()
        if self._round_counts:
            before_s, process_before_s = self._round_since_s
            self._cpu_s += cpu_s - before_s
            self._process_cpu_s += process_cpu_s - process_before_s
        self._round_since_s, self._round_counts = (cpu_s, process_cpu_s), False
