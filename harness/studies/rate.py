"""The rate at which all engines of a study are asked in Server and Interactive."""

from __future__ import annotations

_SHARE_OF_OFFLINE = 0.5  # of the first engine's samples a second: what it holds with ease


def server_rate(offline_samples_per_s: float) -> float | None:
    """Queries a second, to two digits, by what the first engine answers in Offline; None where that
    is nothing.
    """
    return float(f"{offline_samples_per_s * _SHARE_OF_OFFLINE:.2g}") or None
