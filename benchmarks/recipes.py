"""INT8 arithmetic beside 16 bits: prompt and output tokens a second of the CPU recipes and of
llama.cpp's Q8_0, which multiplies in INT8 too.

Each system runs alone, one after the other, and all of them again in every round; a ratio compares
two systems of the same round.
"""

from __future__ import annotations

import os
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import newsbrief
from benchmarks.engines import cpu_engine, prompts
from benchmarks.peer_programs.job import Measured, PeerJob
from benchmarks.peer_venv import peer_python
from benchmarks.peers import PEERS, run_ours, run_peer
from benchmarks.result import Result, Table, figure, ratios

if TYPE_CHECKING:
    from harness.progress import Progress

    Run: TypeAlias = Callable[[PeerJob], list[Measured]]

RECIPES = ("bf16", "int8_wo", "int8_sq")
PEER = "llama.cpp Q8_0"
COMPARED = "int8_sq"
_PROMPT_TOKENS = 600
_SHORT_PROMPT_TOKENS = 48
_NEW_TOKENS = 64
_AT_ONCE = 16


@dataclass(frozen=True, slots=True)
class Rates:
    """Tokens a second of one system in one round."""

    prompt: float
    alone: float
    together: float


def measure(
    model: str, rounds: int, num_prompts: int, peer: bool, python: Path | None, progress: Progress
) -> Result:
    """All systems, `rounds` times, with `num_prompts` long prompts each."""
    systems: dict[str, Run] = {}
    for recipe in RECIPES:
        engine = cpu_engine(model, recipe, progress)
        systems[recipe] = partial(run_ours, engine)
    if peer:
        found = next(each for each in PEERS if each.name == PEER)
        systems[PEER] = partial(run_peer, found, peer_python(python, progress))
    job = PeerJob(
        model=str(newsbrief.CHECKPOINT) if model == newsbrief.CHECKPOINT.name else model,
        weights="",
        threads=len(os.sched_getaffinity(0)),
        new_tokens=1,
        prompts=[
            ids[:_PROMPT_TOKENS].tolist()
            for ids in prompts(engine.folder, max(num_prompts, _AT_ONCE), _PROMPT_TOKENS)
        ],
        concurrencies=[1],
        waves=num_prompts,
        warmup_tokens=1,
    )
    measured: dict[str, list[Rates]] = {name: [] for name in systems}
    for number in range(rounds):
        for name, run in systems.items():
            progress.phase(f"recipes: round {number + 1} of {rounds}, {name}")
            measured[name].append(_rates(run, job))
    return _result(model, rounds, num_prompts, measured)


def _rates(run: Run, job: PeerJob) -> Rates:
    (read,) = run(job)
    short = [ids[:_SHORT_PROMPT_TOKENS] for ids in job.prompts]
    answered = run(
        replace(
            job,
            prompts=short,
            new_tokens=_NEW_TOKENS,
            concurrencies=[1, _AT_ONCE],
            waves=2,
            warmup_tokens=8,
        )
    )
    alone, together = (sum(map(len, each.answers)) / each.duration_s for each in answered)
    return Rates(read.prompt_tokens / read.duration_s, alone, together)


def _result(
    model: str, rounds: int, num_prompts: int, measured: Mapping[str, Sequence[Rates]]
) -> Result:
    heads = ("prompt tokens/s", "output tokens/s, alone", f"output tokens/s, {_AT_ONCE} at once")
    columns = {
        name: ([r.prompt for r in rates], [r.alone for r in rates], [r.together for r in rates])
        for name, rates in measured.items()
    }
    rows = [
        (name, *(f"{figure(statistics.median(values))} {_spread(values)}" for values in found))
        for name, found in columns.items()
    ]
    against = [
        (
            f"{COMPARED} / {name}",
            *(
                f"{statistics.median(pairs):.2f} {_spread(pairs)}"
                for pairs in map(ratios, columns[COMPARED], found)
            ),
        )
        for name, found in columns.items()
        if name != COMPARED
    ]
    return Result(
        title=f"Recipes of the CPU engine, {model}",
        figures=(),
        tables=(
            Table("Medians, and half the range", ("", *heads), tuple(rows)),
            Table("Ratios of the same round", ("", *heads), tuple(against)),
        ),
        notes=(
            f"{rounds} rounds; {num_prompts} prompts of {_PROMPT_TOKENS} tokens one by one; "
            f"answers of {_NEW_TOKENS} tokens to prompts of {_SHORT_PROMPT_TOKENS}",
        ),
    )


def _spread(values: Sequence[float]) -> str:
    return f"(+-{100 * (max(values) - min(values)) / 2 / statistics.median(values):.0f} %)"
