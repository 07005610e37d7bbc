"""How long what is left of a study will take, by the runs of the same scenario that it has made."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness.rules.scenario import Scenario
    from harness.runs.run import Run


class Clock:
    """Durations of finished runs, by scenario, in seconds."""

    def __init__(self) -> None:
        self._taken_s: defaultdict[Scenario, list[float]] = defaultdict(list)

    def add(self, run: Run) -> None:
        """A run that ended."""
        record = run.record
        if record.ended_utc is not None:
            begun, ended = map(datetime.fromisoformat, (record.started_utc, record.ended_utc))
            self._taken_s[record.scenario].append((ended - begun).total_seconds())

    def left_s(self, scenarios: Iterable[Scenario]) -> float | None:
        """Seconds that runs of these scenarios will take; None while one of them is unknown."""
        total_s = 0.0
        for scenario in scenarios:
            if not self._taken_s[scenario]:
                return None
            total_s += statistics.median(self._taken_s[scenario])
        return total_s
