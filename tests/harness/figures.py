"""Figures of a running test of which a test says only what it is about."""

from __future__ import annotations

from typing import Any

from harness.figures import ProgressFigures

_COUNTS = dict.fromkeys(
    ("issued", "done", "tokens", "prompt_tokens", "prompt_tokens_issued", "active", "queued"), 0
)
_UNKNOWN = dict.fromkeys(
    (
        "kv_blocks_used",
        "kv_blocks_total",
        "iteration_s",
        "ttft_p50_s",
        "ttft_p99_s",
        "tpot_p50_s",
        "tpot_p99_s",
    )
)


def make_figures(**known: Any) -> ProgressFigures:
    """Nothing done yet, but for what is `known`."""
    return ProgressFigures(**{"elapsed_s": 0.0, **_COUNTS, **_UNKNOWN, **known})
