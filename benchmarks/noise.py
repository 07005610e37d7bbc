"""How undisturbed a measurement was, as far as this machine can tell."""

from __future__ import annotations

from pathlib import Path

_STEAL = 7  # column of /proc/stat: ticks in which a virtual CPU wanted to run and the host did not


class StolenTime:
    """The share of this machine's CPU time that its host gave to others since the creation."""

    def __init__(self) -> None:
        self._before = _ticks()

    def share(self) -> float:
        """0 on real hardware, and where the kernel does not say."""
        passed = [after - before for before, after in zip(self._before, _ticks(), strict=True)]
        return passed[_STEAL] / sum(passed) if sum(passed) else 0.0


def _ticks() -> list[int]:
    try:
        first = Path("/proc/stat").read_text(encoding="utf-8").splitlines()[0]
    except OSError:
        return [0] * (_STEAL + 1)
    return [int(field) for field in first.split()[1 : _STEAL + 2]]
