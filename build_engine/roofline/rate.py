"""How fast a machine multiplies matrices, by how many rows (tokens) are multiplied at once."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Rate:
    """FLOP/s at some numbers of rows, fewest first. A datasheet has one figure for all of them."""

    points: tuple[tuple[int, float], ...]

    @classmethod
    def flat(cls, flops: float) -> Rate:
        """One figure whatever the rows are."""
        return cls(((1, flops),))

    @property
    def best(self) -> float:
        """FLOP/s at the most rows."""
        return self.points[-1][1]

    def at(self, rows: float) -> float:
        """FLOP/s for so many rows. Between two points the seconds of a product grow evenly with its
        rows; beyond them the nearest counts.
        """
        rows = min(max(rows, self.points[0][0]), self.points[-1][0])
        after = bisect_left([point for point, _ in self.points], rows)
        (high, _), high_s = self.points[after], self._seconds(after)
        if rows == high:
            return self.points[after][1]
        (low, _), low_s = self.points[after - 1], self._seconds(after - 1)
        return rows / (low_s + (high_s - low_s) * (rows - low) / (high - low))

    def part(self, share: float) -> Rate:
        """That of a share of the machine."""
        return Rate(tuple((rows, flops * share) for rows, flops in self.points))

    def _seconds(self, index: int) -> float:
        """Of a product of one operation a row."""
        rows, flops = self.points[index]
        return rows / flops
