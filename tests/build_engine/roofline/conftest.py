"""Properties are looked at with the same cases each time, and however slow the machine is."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("ours", derandomize=True, deadline=None, database=None)
settings.load_profile("ours")
