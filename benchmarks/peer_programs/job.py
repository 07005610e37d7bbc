"""What a peer is asked, and what it answers: two JSON files."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True)
class PeerJob:
    """Answer prompts greedily at several concurrencies, each answer of exactly `new_tokens`."""

    model: str
    """A checkpoint folder in Hugging Face layout."""
    weights: str
    """Type of the weights, by the peer's own name for it."""
    threads: int
    new_tokens: int
    prompts: list[list[int]]
    """Token ids; a concurrency of C uses the first `requests(C)` of them."""
    concurrencies: list[int]
    waves: int
    """Requests at concurrency 1; more at higher ones, but fewer for each place."""
    warmup_tokens: int
    """Length of the answers of an untimed wave before each measurement."""

    def requests(self, concurrency: int) -> int:
        """How many prompts are answered at a concurrency, always whole waves.

        `waves` at 1; then the square root of the concurrency times as many, and one wave at least.
        """
        return concurrency * max(1, round(self.waves / math.sqrt(concurrency)))


@dataclass(frozen=True)
class Measured:
    """One concurrency: seconds from the first submission to the last token, and the answers."""

    concurrency: int
    duration_s: float
    prompt_tokens: int
    answers: list[list[int]]
    """Token ids in the order of the prompts; empty lists where a peer does not give them."""


def serve(measure: Callable[[PeerJob], list[Measured]]) -> None:
    """Read the job of the first argument, write what was measured to the second."""
    job = PeerJob(**json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))
    found = [asdict(item) for item in measure(job)]
    Path(sys.argv[2]).write_text(json.dumps(found), encoding="utf-8")
